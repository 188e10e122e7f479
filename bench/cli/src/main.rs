// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Compares the command with other programs: whole processes that read files from the page cache.
//! `make bench-cli` runs it.

mod aims;
mod programs;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::fs::File;
use std::num::NonZeroU16;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use adler32::processor;
use adler32::Adler32;
use adler32::Sum;
use adler32_tests::reference;
use aims::AIMS;
use anyhow::Context;
use anyhow::Result;
use bench_common::aim;
use bench_common::contender::Contender;
use bench_common::group::Group;
use bench_common::group::Workload;
use bench_common::MIB;
use clap::Parser;
use nix::fcntl::posix_fadvise;
use nix::fcntl::PosixFadviseAdvice;
use serde_json::json;

use programs::checksum;
use programs::on;
use programs::run;
use programs::Programs;

/// Compare the command adler32 with other programs.
#[derive(Parser)]
struct Arguments {
    /// Size of the large file
    #[arg(long, value_name = "MIB", default_value = "1024")]
    file: NonZeroU16,
    /// Number of files of 4 KiB
    #[arg(long, value_name = "NUMBER", default_value = "10000")]
    files: NonZeroU16,
    /// Number of times to run each program
    #[arg(long, value_name = "NUMBER", default_value = "15")]
    rounds: NonZeroU16,
    /// Directory for the files
    #[arg(long, value_name = "DIRECTORY", default_value = "/dev/shm")]
    directory: PathBuf,
    /// Directory on a disk, for files that are not in the page cache
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/tmp")]
    disk: PathBuf,
    /// Write the results to this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

const SMALL: usize = 4096;
/// The largest number of passes over a file that is not in the page cache.
const COLD: usize = 7;
/// How many times as many rounds there are for passes of a millisecond.
const SHORT: usize = 10;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let [file, files, rounds] =
        [arguments.file, arguments.files, arguments.rounds].map(|number| usize::from(number.get()));
    let programs = Programs::find()?;
    let directory = tempfile::tempdir_in(&arguments.directory)
        .with_context(|| format!("cannot write to {}", arguments.directory.display()))?;
    let disk = tempfile::tempdir_in(&arguments.disk)
        .with_context(|| format!("cannot write to {}", arguments.disk.display()))?;
    let kernel = bench_common::kernel()?;
    let implementation = processor::fastest().name();
    let processors = thread::available_parallelism()?.get();
    println!(
        "kernel {kernel}, {processors} processors, implementation {implementation}, files in {} and {}",
        arguments.directory.display(),
        arguments.disk.display()
    );

    let groups = [
        one_file(&programs, directory.path(), file * MIB, rounds)?,
        cold_file(&programs, disk.path(), file * MIB, rounds.min(COLD))?,
        sparse_file(&programs, disk.path(), rounds)?,
        small_files(&programs, directory.path(), files, rounds)?,
        start(&programs, directory.path(), SHORT * rounds)?,
    ];
    let aims = aim::compare(&groups, &AIMS)?;

    if let Some(path) = arguments.json {
        let results = json!({
            "kernel": kernel,
            "implementation": implementation,
            "processors": processors,
            "directory": arguments.directory,
            "rounds": rounds,
            "groups": groups.each_ref().map(Group::to_json),
            "aims": aims,
        });
        bench_common::write_json(&path, &results)?;
    }
    Ok(())
}

/// Measures one file, on which the programs spend their time reading and summing.
fn one_file(programs: &Programs, directory: &Path, len: usize, rounds: usize) -> Result<Group> {
    let path = directory.join("file");
    let sum = fill(&path, len)?;
    let sums = |name, command| {
        let mut command = on(command, &path);
        Contender::new(name, sum, move || checksum(&mut command))
    };
    let mut contenders = vec![
        sums("adler32 sum", programs.sum(None)),
        sums("adler32 sum, one thread", programs.sum(Some(1))),
        sums("adler32 sum, two threads", programs.sum(Some(2))),
    ];
    for (name, size) in [
        ("libdeflate, read 128 KiB", MIB / 8),
        ("libdeflate, read 1 MiB", MIB),
        ("libdeflate, read 2 MiB", 2 * MIB),
    ] {
        contenders.push(sums(name, programs.peer("libdeflate", size)));
    }
    // In the same pieces as the command.
    let mut read = on(programs.peer("read", 2 * MIB), &path);
    contenders.push(Contender::limit("read alone, 2 MiB", move || {
        run(&mut read).map(drop)
    }));
    match programs.python() {
        Some(command) => contenders.push(sums("python3, zlib.adler32", command)),
        None => println!("python3 is not installed (package python3) and is skipped"),
    }
    match programs.xrdadler32() {
        Some(command) => {
            let mut command = on(command, &path);
            let path = &path;
            contenders.push(Contender::new("xrdadler32", sum, move || {
                programs::forget(path)?;
                checksum(&mut command)
            }));
        }
        None => println!("xrdadler32 is not installed (package xrootd-client) and is skipped"),
    }
    let title = format!("A file of {} MiB", len / MIB);
    Group::measure(Workload::File, title, len, contenders, rounds)
}

/// Measures a file that is dropped from the page cache before each pass.
fn cold_file(programs: &Programs, directory: &Path, len: usize, rounds: usize) -> Result<Group> {
    let path = directory.join("file");
    let sum = fill(&path, len)?;
    let file = File::open(&path)?;
    // Only pages that are on the disk can be dropped.
    file.sync_all().context("cannot write to the disk")?;
    let file = &file;
    let drop_cache = || {
        let advice = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
        posix_fadvise(file, 0, 0, advice).context("cannot drop the page cache")?;
        programs::forget(&path)
    };
    let sums = |name, command| {
        let mut command = on(command, &path);
        Contender::new(name, sum, move || checksum(&mut command)).prepared(drop_cache)
    };
    let reads = |name, mut command| {
        Contender::limit(name, move || run(&mut command).map(drop)).prepared(drop_cache)
    };
    let mut direct = programs.sum(None);
    direct.arg("--direct");
    let mut contenders = vec![
        sums("adler32 sum", programs.sum(None)),
        sums("adler32 sum, one thread", programs.sum(Some(1))),
        sums("adler32 sum --direct", direct),
        reads(
            "read alone, 2 MiB",
            on(programs.peer("read", 2 * MIB), &path),
        ),
        reads("dd", dd(&path, &[])),
        reads("dd iflag=direct", dd(&path, &["iflag=direct"])),
    ];
    if let Some(command) = programs.python() {
        contenders.push(sums("python3, zlib.adler32", command));
    }
    if let Some(command) = programs.xrdadler32() {
        contenders.push(sums("xrdadler32", command));
    }
    let title = format!("A file of {} MiB that is not in the page cache", len / MIB);
    Group::measure(Workload::Cold, title, len, contenders, rounds)
}

/// Returns dd, which reads a file.
fn dd(path: &Path, options: &[&str]) -> Command {
    let mut input = OsString::from("if=");
    input.push(path);
    let mut command = Command::new("dd");
    command
        .arg(input)
        .args(["of=/dev/null", "bs=4M", "status=none"]);
    command.args(options);
    command
}

/// Measures a file with 10 MiB of data in a hole of 1 TiB, and a file with the data alone.
fn sparse_file(programs: &Programs, directory: &Path, rounds: usize) -> Result<Group> {
    const DATA: usize = 10 * MIB;
    const HOLE: u64 = 1 << 40;
    let [data, sparse] = ["data", "sparse"].map(|name| directory.join(name));
    let sum = fill(&data, DATA)?;
    fill(&sparse, DATA)?;
    let file = File::options().write(true).open(&sparse)?;
    file.set_len(HOLE).context("cannot make a file of 1 TiB")?;
    let zeros = Sum::zeros(HOLE - DATA as u64);
    let whole = Adler32::from_value(sum).context("not a checksum")?;
    let whole = whole.combine(zeros.checksum, zeros.length).value();
    let sums = |name, sum, path| {
        let mut command = on(programs.sum(None), path);
        Contender::new(name, sum, move || checksum(&mut command))
    };
    let contenders = vec![
        sums("adler32 sum", whole, &sparse),
        sums("adler32 sum, the data alone", sum, &data),
    ];
    let title = "A file of 1 TiB with 10 MiB of data".to_owned();
    Group::measure(Workload::Sparse, title, 1, contenders, rounds)
}

/// Measures many small files, for which the work once for each file takes the time.
fn small_files(
    programs: &Programs,
    directory: &Path,
    count: usize,
    rounds: usize,
) -> Result<Group> {
    let directory = directory.join("files");
    fs::create_dir(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let names: Vec<_> = (0..count).map(|number| format!("{number:05}")).collect();
    let mut lines = String::new();
    for (number, name) in names.iter().enumerate() {
        let data = reference::noise(SMALL, number as u64);
        let path = directory.join(name);
        fs::write(&path, &data).with_context(|| format!("cannot write {}", path.display()))?;
        writeln!(lines, "{:08x}  {name}", reference::adler(&data))?;
    }
    let printed = reference::adler(lines.as_bytes());
    let sums = |name, mut command: Command| {
        command.current_dir(&directory).args(&names);
        Contender::new(name, printed, move || {
            Ok(reference::adler(&run(&mut command)?))
        })
    };
    let mut cksum = Command::new("cksum");
    cksum.current_dir(&directory).args(&names);
    let contenders = vec![
        sums("adler32 sum", programs.sum(None)),
        sums("adler32 sum, one thread", programs.sum(Some(1))),
        Contender::limit("cksum", move || run(&mut cksum).map(drop)),
    ];
    let title = format!("{count} files of 4 KiB");
    Group::measure(Workload::Files, title, count * SMALL, contenders, rounds)
}

/// Measures an empty file, for which starting the program takes the time.
fn start(programs: &Programs, directory: &Path, rounds: usize) -> Result<Group> {
    let path = directory.join("empty");
    let sum = fill(&path, 0)?;
    let mut ours = on(programs.sum(None), &path);
    let mut cksum = on(Command::new("cksum"), &path);
    let contenders = vec![
        Contender::new("adler32 sum", sum, move || checksum(&mut ours)),
        Contender::limit("cksum", move || run(&mut cksum).map(drop)),
    ];
    let title = "An empty file".to_owned();
    Group::measure(Workload::Start, title, 1, contenders, rounds)
}

/// Creates a file with `len` bytes, whole MiB, and returns its checksum.
fn fill(path: &Path, len: usize) -> Result<u32> {
    let file = File::create(path);
    file.and_then(|mut file| reference::fill(&mut file, len))
        .with_context(|| format!("cannot write {}", path.display()))
}
