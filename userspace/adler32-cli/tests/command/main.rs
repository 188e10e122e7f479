// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Runs the command and checks its output and exit status, with or without the kernel module.

mod attributes;
mod bench;
mod cli;
mod copy;
mod disk;
mod grid;
mod install;

use std::fs;
use std::io::IoSliceMut;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

use adler32::file::Way;
use rustix::fs::XattrFlags;
use rustix::io::ReadWriteFlags;
use tempfile::tempdir;
use tempfile::tempdir_in;
use tempfile::TempDir;

/// Returns the command, with an empty standard input.
fn adler32() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adler32"));
    // Help would be as wide as `COLUMNS`, and paths would be below `XRDLCLROOT`.
    command.env_remove("COLUMNS").env_remove("XRDLCLROOT");
    command.stdin(Stdio::null());
    command
}

/// Returns how the bytes of a short file in the page cache come. Not every file system reports that
/// they are there.
fn way_of_cached(directory: &TempDir) -> &'static str {
    let path = directory.path().join("cached");
    fs::write(&path, "a").expect("a file");
    let file = fs::File::open(&path).expect("the file");
    let mut byte = [0];
    let mut buffers = [IoSliceMut::new(&mut byte)];
    let way = match rustix::io::preadv2(&file, &mut buffers, 0, ReadWriteFlags::NOWAIT) {
        Ok(_) => Way::Cache,
        Err(_) => Way::Read,
    };
    fs::remove_file(path).expect("the file");
    way.name()
}

/// The output of a command and its exit status.
#[derive(Debug, PartialEq)]
struct Outcome {
    stdout: String,
    stderr: String,
    status: Option<i32>,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        let [stdout, stderr] = [output.stdout, output.stderr]
            .map(|printed| String::from_utf8_lossy(&printed).into_owned());
        Self {
            stdout,
            stderr,
            status: output.status.code(),
        }
    }
}

fn outcome(stdout: &str, stderr: &str, status: i32) -> Outcome {
    Outcome {
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
        status: Some(status),
    }
}

#[track_caller]
fn assert_outcome(actual: Outcome, stdout: &str, stderr: &str, status: i32) {
    assert_eq!(actual, outcome(stdout, stderr, status));
}

#[track_caller]
fn assert_prints(actual: Outcome, stdout: &str) {
    assert_outcome(actual, stdout, "", 0);
}

#[track_caller]
fn assert_fails(actual: Outcome, stderr: &str) {
    assert_outcome(actual, "", stderr, 2);
}

fn run(command: &mut Command) -> Outcome {
    command.output().expect("the command runs").into()
}

/// Runs `adler32 ARGUMENTS` in a directory.
fn run_in(directory: impl AsRef<Path>, arguments: &[&str]) -> Outcome {
    run(adler32().args(arguments).current_dir(directory))
}

/// Runs a command and writes the pieces of its standard input.
fn feed(command: &mut Command, stdin: &[&[u8]]) -> Outcome {
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command runs");
    let mut pipe = child.stdin.take().expect("a pipe");
    for piece in stdin {
        // The command reads nothing if it could not open its backend.
        let _ = pipe.write_all(piece);
    }
    drop(pipe);
    child.wait_with_output().expect("the command ends").into()
}

/// Makes a directory with these files.
fn files(files: &[(&str, &[u8])]) -> TempDir {
    // Either of these two places may be on a file system without attributes.
    let mut directory = tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let flags = XattrFlags::empty();
    if rustix::fs::setxattr(directory.path(), "user.test", b"", flags).is_err() {
        directory = tempdir().expect("a directory");
    }
    for (name, data) in files {
        fs::write(directory.path().join(name), data).expect("a file");
    }
    directory
}
