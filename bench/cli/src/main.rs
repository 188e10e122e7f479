// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Measures the command beside others, whole processes on files of the page cache, as `make
//! bench-cli` does.

mod aims;
mod programs;

use std::fmt::Write as _;
use std::fs;
use std::fs::File;
use std::io::Write as _;
use std::num::NonZeroU16;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use adler32::processor;
use adler32_tests::reference;
use anyhow::Context;
use anyhow::Result;
use clap::Parser;
use serde_json::json;

use bench_common::contender::Contender;
use bench_common::contender::Group;
use bench_common::contender::Source;
use programs::checksum;
use programs::on;
use programs::run;
use programs::Programs;

/// Measure the command adler32 beside others.
#[derive(Parser)]
struct Arguments {
    /// The size of the file
    #[arg(long, value_name = "MIB", default_value = "1024")]
    file: NonZeroU16,
    /// How many files of 4 KiB
    #[arg(long, value_name = "NUMBER", default_value = "10000")]
    files: NonZeroU16,
    /// How often to run each program
    #[arg(long, value_name = "NUMBER", default_value = "15")]
    rounds: NonZeroU16,
    /// Where to put the files
    #[arg(long, value_name = "FOLDER", default_value = "/dev/shm")]
    folder: PathBuf,
    /// Write the figures to a file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

const MIB: usize = 1 << 20;
const SMALL: usize = 4096;
/// How many times as many rounds there are where a pass takes a millisecond.
const SHORT: usize = 10;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let [file, files, rounds] =
        [arguments.file, arguments.files, arguments.rounds].map(|number| usize::from(number.get()));
    let programs = Programs::find()?;
    let folder = tempfile::tempdir_in(&arguments.folder)
        .with_context(|| format!("cannot write to {}", arguments.folder.display()))?;
    let kernel = bench_common::kernel()?;
    let implementation = processor::fastest().name();
    let processors = thread::available_parallelism()?.get();
    println!(
        "kernel {kernel}, processors: {processors}, which compute with {implementation}, files in {}",
        arguments.folder.display()
    );

    let groups = [
        one_file(&programs, folder.path(), file * MIB, rounds)?,
        small_files(&programs, folder.path(), files, rounds)?,
        start(&programs, folder.path(), SHORT * rounds)?,
    ];
    let aims = aims::compare(&groups)?;

    if let Some(path) = arguments.json {
        let results = json!({
            "kernel": kernel,
            "implementation": implementation,
            "processors": processors,
            "folder": arguments.folder,
            "rounds": rounds,
            "groups": groups.each_ref().map(Group::to_json),
            "aims": aims,
        });
        bench_common::write_json(&path, &results)?;
    }
    Ok(())
}

/// Where each program spends its time reading and summing.
fn one_file(programs: &Programs, folder: &Path, len: usize, rounds: usize) -> Result<Group> {
    let path = folder.join("file");
    let sum = fill(&path, len).with_context(|| format!("cannot write {}", path.display()))?;
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
    // As much at a time as ours.
    let mut read = on(programs.peer("read", 2 * MIB), &path);
    contenders.push(Contender::limit("read alone, 2 MiB", move || {
        run(&mut read).map(drop)
    }));
    match programs.python() {
        Some(command) => contenders.push(sums("python3, zlib.adler32", command)),
        None => println!("python3 is skipped: it is not installed (package python3)"),
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
        None => println!("xrdadler32 is skipped: it is not installed (package xrootd-client)"),
    }
    let title = format!("A file of {} MiB", len / MIB);
    Group::measure(Source::File, title, len, contenders, rounds)
}

/// Where what is done once for each file counts.
fn small_files(programs: &Programs, folder: &Path, count: usize, rounds: usize) -> Result<Group> {
    let folder = folder.join("files");
    fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let names: Vec<_> = (0..count).map(|number| format!("{number:05}")).collect();
    let mut lines = String::new();
    for (number, name) in names.iter().enumerate() {
        let data = reference::noise(SMALL, number as u64);
        let path = folder.join(name);
        fs::write(&path, &data).with_context(|| format!("cannot write {}", path.display()))?;
        writeln!(lines, "{:08x}  {name}", reference::adler(&data))?;
    }
    let printed = reference::adler(lines.as_bytes());
    let sums = |name, mut command: Command| {
        command.current_dir(&folder).args(&names);
        Contender::new(name, printed, move || {
            Ok(reference::adler(&run(&mut command)?))
        })
    };
    let mut cksum = Command::new("cksum");
    cksum.current_dir(&folder).args(&names);
    let contenders = vec![
        sums("adler32 sum", programs.sum(None)),
        sums("adler32 sum, one thread", programs.sum(Some(1))),
        Contender::limit("cksum", move || run(&mut cksum).map(drop)),
    ];
    let title = format!("{count} files of 4 KiB");
    Group::measure(Source::Files, title, count * SMALL, contenders, rounds)
}

/// Where nothing but the start of the program counts.
fn start(programs: &Programs, folder: &Path, rounds: usize) -> Result<Group> {
    let path = folder.join("empty");
    let sum = fill(&path, 0).with_context(|| format!("cannot write {}", path.display()))?;
    let mut ours = on(programs.sum(None), &path);
    let mut cksum = on(Command::new("cksum"), &path);
    let contenders = vec![
        Contender::new("adler32 sum", sum, move || checksum(&mut ours)),
        Contender::limit("cksum", move || run(&mut cksum).map(drop)),
    ];
    let title = "An empty file".to_owned();
    Group::measure(Source::Start, title, 1, contenders, rounds)
}

/// Makes a file of whole mebibytes. Returns its checksum.
fn fill(path: &Path, len: usize) -> Result<u32> {
    let mut file = File::create(path)?;
    let mut sum = 1;
    for number in 0..len / MIB {
        let data = reference::noise(MIB, 3 + number as u64);
        file.write_all(&data)?;
        sum = reference::append(sum, &data);
    }
    Ok(sum)
}
