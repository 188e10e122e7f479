// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Compares the command with other programs: whole processes that read files.
//! `make bench-cli` runs it.

mod aims;
mod control_group;
mod kept;
mod programs;
mod slow;

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
use bench_common::plot;
use bench_common::row;
use bench_common::table;
use bench_common::MIB;
use clap::Parser;
use nix::fcntl::posix_fadvise;
use nix::fcntl::PosixFadviseAdvice;
use nix::unistd;
use serde_json::json;
use serde_json::Map;
use serde_json::Value;

use programs::checksum;
use programs::on;
use programs::run;
use programs::Programs;
use slow::Limit;
use slow::SlowDisk;

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
    /// Also measure disks that are slow, and what stays in memory (only root can limit them)
    #[arg(long)]
    slow_disks: bool,
    /// Write the results to this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw charts to this file (SVG)
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

const SMALL: usize = 4096;
/// How many times as long the file is that is not in the page cache.
const COLD: usize = 2;
/// How many times as long the file is that could displace another from memory.
const LONG: usize = 4;
/// The largest number of passes over files on a slow disk.
const SLOW: usize = 5;
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

    let mut groups = vec![
        one_file(&programs, directory.path(), file * MIB, rounds)?,
        cold_file(&programs, disk.path(), COLD * file * MIB, rounds)?,
        sparse_file(&programs, disk.path(), rounds)?,
        small_files(&programs, directory.path(), files, false, rounds)?,
        small_files(&programs, disk.path(), files, true, rounds)?,
        start(&programs, directory.path(), SHORT * rounds)?,
    ];
    let memory = memory(&programs, disk.path(), file * MIB)?;
    let mut kept = Value::Null;
    if arguments.slow_disks {
        kept = kept::measure(&programs, disk.path(), LONG * file * MIB)?;
        // A long file would take minutes.
        for (limit, workload, most, title) in [
            (
                Limit::Bytes(200_000_000),
                Workload::Throttled,
                192,
                "a disk of 200 MB/s",
            ),
            (
                Limit::Requests(125),
                Workload::Seeking,
                48,
                "a disk that takes 8 ms for a request",
            ),
        ] {
            let len = file.min(most) * MIB;
            let title = format!("A file of {} MiB on {title}", len / MIB);
            let slow = match SlowDisk::new(disk.path(), len, limit) {
                Ok(slow) => slow,
                Err(error) => {
                    println!("\n{title} is skipped: {error:#}");
                    continue;
                }
            };
            let file = Uncached::new(&slow.directory.join("file"), len)?;
            let contenders = file.contenders(&programs);
            let rounds = rounds.min(SLOW);
            groups.push(Group::measure(workload, title, len, contenders, rounds)?);
        }
    }
    let aims = aim::compare(&groups, &AIMS)?;

    if let Some(path) = arguments.json {
        let results = json!({
            "kernel": kernel,
            "implementation": implementation,
            "processors": processors,
            "directory": arguments.directory,
            "rounds": rounds,
            "groups": groups.iter().map(Group::to_json).collect::<Vec<_>>(),
            "peak_memory_kib": memory,
            "pages_in_memory": kept,
            "aims": aims,
        });
        bench_common::write_json(&path, &results)?;
    }
    if let Some(path) = arguments.plot {
        let charts: Vec<_> = groups
            .iter()
            .map(|group| vec![group.chart(&kernel)])
            .collect();
        plot::draw(&charts, &path)?;
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
    let file = Uncached::new(&directory.join("file"), len)?;
    let mut contenders = file.contenders(programs);
    contenders.push(file.reads("dd", dd(&file.path, &[])));
    contenders.push(file.reads("dd iflag=direct", dd(&file.path, &["iflag=direct"])));
    if let Some(command) = programs.python() {
        contenders.push(file.sums("python3, zlib.adler32", command));
    }
    if let Some(command) = programs.xrdadler32() {
        contenders.push(file.sums("xrdadler32", command));
    }
    let title = format!("A file of {} MiB that is not in the page cache", len / MIB);
    Group::measure(Workload::Cold, title, len, contenders, rounds)
}

/// A file that is dropped from the page cache before each pass.
struct Uncached {
    path: PathBuf,
    file: File,
    sum: u32,
}

impl Uncached {
    fn new(path: &Path, len: usize) -> Result<Self> {
        let path = path.to_owned();
        let sum = fill(&path, len)?;
        let file = File::open(&path)?;
        // Only pages that are on the disk can be dropped.
        file.sync_all().context("cannot write to the disk")?;
        Ok(Self { path, file, sum })
    }

    fn drop_cache(&self) -> Result<()> {
        let advice = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
        posix_fadvise(&self.file, 0, 0, advice).context("cannot drop the page cache")?;
        programs::forget(&self.path)
    }

    fn sums(&self, name: &str, command: Command) -> Contender<'_> {
        let mut command = on(command, &self.path);
        let pass = move || checksum(&mut command);
        Contender::new(name, self.sum, pass).prepared(|| self.drop_cache())
    }

    fn reads(&self, name: &str, mut command: Command) -> Contender<'_> {
        let pass = move || run(&mut command).map(drop);
        Contender::limit(name, pass).prepared(|| self.drop_cache())
    }

    fn contenders(&self, programs: &Programs) -> Vec<Contender<'_>> {
        let mut direct = programs.sum(None);
        direct.arg("--direct");
        let read = |work, size| on(programs.peer(work, size), &self.path);
        vec![
            self.sums("adler32 sum", programs.sum(None)),
            self.sums("adler32 sum, one thread", programs.sum(Some(1))),
            self.sums("adler32 sum --direct", direct),
            self.reads("read alone, 2 MiB", read("read", 2 * MIB)),
            self.reads("direct reads alone, 16 of 2 MiB", read("direct", 2 * MIB)),
        ]
    }
}

/// Prints how much memory the programs need, and returns it in KiB.
fn memory(programs: &Programs, directory: &Path, len: usize) -> Result<Value> {
    let file = Uncached::new(&directory.join("file"), len)?;
    let mut direct = programs.sum(None);
    direct.arg("--direct");
    let commands = [
        ("adler32 sum", Some(programs.sum(None))),
        ("adler32 sum, one thread", Some(programs.sum(Some(1)))),
        ("adler32 sum --direct", Some(direct)),
        ("python3, zlib.adler32", programs.python()),
        ("xrdadler32", programs.xrdadler32()),
    ];
    let mut rows = vec![row!["Peak memory", "MiB"]];
    let mut peaks = Map::new();
    for (name, command) in commands {
        let Some(command) = command else {
            continue;
        };
        file.drop_cache()?;
        let peak = programs::peak_memory(&mut on(command, &file.path))?;
        rows.push(row![name, format!("{:.1}", peak as f64 / 1024.0)]);
        peaks.insert(name.to_owned(), peak.into());
    }
    println!();
    table::print(&rows);
    Ok(peaks.into())
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

/// Measures many small files, for which the work once for each file takes the time. If they are
/// `cold`, they are dropped from the page cache before each pass.
fn small_files(
    programs: &Programs,
    directory: &Path,
    count: usize,
    cold: bool,
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
    // Only pages that are on the disk can be dropped.
    unistd::syncfs(File::open(&directory)?).context("cannot write to the disk")?;
    let printed = reference::adler(lines.as_bytes());
    let drop_cache = || {
        for name in names.iter().filter(|_| cold) {
            let file = File::open(directory.join(name))?;
            posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
        }
        Ok(())
    };
    let sums = |name: &str, mut command: Command| {
        command.current_dir(&directory).args(&names);
        let pass = move || Ok(reference::adler(&run(&mut command)?));
        Contender::new(name, printed, pass).prepared(drop_cache)
    };
    let mut cksum = Command::new("cksum");
    cksum.current_dir(&directory).args(&names);
    let cksum = Contender::limit("cksum", move || run(&mut cksum).map(drop));
    let mut contenders = vec![
        sums("adler32 sum", programs.sum(None)),
        sums("adler32 sum, one thread", programs.sum(Some(1))),
        cksum.prepared(drop_cache),
    ];
    for threads in [2, 4, 8, 16] {
        let name = format!("adler32 sum, {threads} threads");
        contenders.push(sums(&name, programs.sum(Some(threads))));
    }
    let (workload, place) = match cold {
        true => (Workload::ColdFiles, " that are not in the page cache"),
        false => (Workload::Files, ""),
    };
    let title = format!("{count} files of 4 KiB{place}");
    Group::measure(workload, title, count * SMALL, contenders, rounds)
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
