// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 copy`.

use std::fs;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::SystemTime;

use adler32::processor;
use adler32::Adler32;
use nix::sys::stat::Mode;
use nix::unistd;
use rustix::fs::XattrFlags;
use serde_json::json;
use serde_json::Value;
use tempfile::TempDir;

use crate::adler32;
use crate::assert_fails;
use crate::assert_prints;
use crate::files;
use crate::run;
use crate::Outcome;

fn command(directory: &TempDir, arguments: &[&str]) -> Command {
    let mut command = adler32();
    command.arg("copy").args(arguments).current_dir(directory);
    command
}

fn copy(directory: &TempDir, arguments: &[&str]) -> Outcome {
    run(&mut command(directory, arguments))
}

fn names(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

fn sum(data: &[u8]) -> u32 {
    processor::update(Adler32::EMPTY, data).value()
}

#[test]
fn copies_and_sums() {
    let long: Vec<u8> = (0..3_000_001_u32).map(|i| (i / 7) as u8).collect();
    let directory = files(&[("empty", b""), ("a b", b"abcde"), ("long", &long)]);
    fs::create_dir(directory.path().join("to")).unwrap();
    for (name, data) in [("empty", &b""[..]), ("a b", b"abcde"), ("long", &long)] {
        let line = format!("{:08x}  new\n", sum(data));
        for option in ["--preserve", "--verify"] {
            assert_prints(copy(&directory, &[option, name, "new"]), &line);
            assert_eq!(fs::read(directory.path().join("new")).unwrap(), data);
        }
    }
    let lines = "05c801f0  to/a b\n00000001  to/empty\n";
    assert_prints(copy(&directory, &["a b", "empty", "to"]), lines);
    let line = copy(&directory, &["--json", "--verify", "a b", "new"]).stdout;
    let expected = json!({
        "file": "new",
        "source": "a b",
        "adler32": "05c801f0",
        "length": 5,
        "verified": true,
    });
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
    assert_eq!(names(&directory), ["a b", "empty", "long", "new", "to"]);
    // This file has a size of 0, but is not empty.
    let copied = copy(&directory, &["/proc/version", "new"]);
    let version = fs::read("/proc/version").unwrap();
    assert_eq!(copied.stdout, format!("{:08x}  new\n", sum(&version)));
    assert_eq!(copied.status, Some(0));
    assert_eq!(fs::read(directory.path().join("new")).unwrap(), version);
}

#[test]
fn copies_streams() {
    let directory = files(&[]);
    let mut child = command(&directory, &["-", "new"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(b"abc").unwrap();
    // The file does not appear before it is complete.
    std::thread::sleep(Duration::from_millis(50));
    assert!(!directory.path().join("new").exists());
    pipe.write_all(b"de").unwrap();
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"05c801f0  new\n");
    assert_eq!(fs::read(directory.path().join("new")).unwrap(), b"abcde");
    let error = "adler32: -: has no name for a copy in a directory\n";
    assert_fails(copy(&directory, &["-", "."]), error);
}

#[test]
fn holes_stay_holes() {
    const SIZE: u64 = 300_000_000;
    let directory = files(&[]);
    let source = File::create(directory.path().join("sparse")).unwrap();
    source.set_len(SIZE).unwrap();
    source.write_all_at(b"abc", 100_000_000).unwrap();
    source.write_all_at(b"def", 200_000_000).unwrap();
    let mut data = vec![0; SIZE as usize];
    data[100_000_000..][..3].copy_from_slice(b"abc");
    data[200_000_000..][..3].copy_from_slice(b"def");
    let line = format!("{:08x}  new\n", sum(&data));
    assert_prints(copy(&directory, &["sparse", "new"]), &line);
    let new = fs::metadata(directory.path().join("new")).unwrap();
    assert_eq!(new.len(), SIZE);
    if source.metadata().unwrap().blocks() < 10_000 {
        assert!(new.blocks() < 10_000, "{}", new.blocks());
    }
    assert!(fs::read(directory.path().join("new")).unwrap() == data);
}

#[test]
fn preserves_what_cp_does() {
    let directory = files(&[("a", b"abcde")]);
    let (a, new) = (directory.path().join("a"), directory.path().join("new"));
    fs::set_permissions(&a, fs::Permissions::from_mode(0o751)).unwrap();
    rustix::fs::setxattr(&a, "user.test", b"value", XattrFlags::empty()).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_500_000_000, 123_456_789);
    File::open(&a).unwrap().set_modified(time).unwrap();

    let script = "umask 027; exec \"$0\" copy a new";
    let plain = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_adler32")])
        .current_dir(&directory)
        .status();
    assert!(plain.unwrap().success());
    let metadata = fs::metadata(&new).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o750);
    assert_ne!(metadata.modified().unwrap(), time);

    let line = "05c801f0  new\n";
    assert_prints(copy(&directory, &["-p", "--xattr", "a", "new"]), line);
    let metadata = fs::metadata(&new).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o751);
    assert_eq!(metadata.modified().unwrap(), time);
    let mut value = [0; 10];
    let length = rustix::fs::getxattr(&new, "user.test", &mut value).unwrap();
    assert_eq!(&value[..length], b"value");
    let mut record = [0; 96];
    let length = rustix::fs::getxattr(&new, "user.XrdCks.adler32", &mut record).unwrap();
    assert_eq!((length, &record[32..36]), (96, &[5, 0xc8, 1, 0xf0][..]));
    assert_eq!(record[16..24], 1_500_000_000_i64.to_be_bytes());
}

#[test]
fn a_failure_changes_nothing() {
    let directory = files(&[("a", b"abcde"), ("old", b"old"), ("big", &[1; 100_000])]);
    let fails = |arguments: &[&str], error: &str| {
        let error = format!("adler32: {error}\n");
        assert_fails(copy(&directory, arguments), &error);
    };
    fails(&["none", "old"], "none: No such file or directory");
    fails(&[".", "old"], ".: Is a directory");
    fails(&["a", "a"], "a: and a are the same file");
    fails(&["a", "none/b"], "none/b: No such file or directory");
    fails(&["a", "old", "new"], "target new: Not a directory");
    fails(&["a", "/dev/null"], "/dev/null: not a regular file");
    // A limit on the size of files stands for a full disk.
    let script = "ulimit -f 10; trap '' XFSZ; exec \"$0\" copy big old";
    let full = Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_adler32")])
        .current_dir(&directory)
        .output()
        .unwrap();
    assert_eq!(full.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&full.stderr).contains("File too large"));
    assert_eq!(fs::read(directory.path().join("old")).unwrap(), b"old");
    assert_eq!(names(&directory), ["a", "big", "old"]);
}

#[test]
fn nothing_is_left_by_a_killed_copy() {
    let directory = files(&[("old", b"old")]);
    let fifo = directory.path().join("fifo");
    unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let mut child = command(&directory, &["fifo", "old"]).spawn().unwrap();
    let mut writer = File::options().write(true).open(&fifo).unwrap();
    writer.write_all(b"new").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(fs::read(directory.path().join("old")).unwrap(), b"old");
    assert_eq!(names(&directory), ["fifo", "old"]);
}

#[test]
fn a_source_that_changes_is_an_error() {
    let directory = files(&[("growing", &vec![1; 50_000_000])]);
    let mut child = command(&directory, &["growing", "new"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut growing = File::options()
        .append(true)
        .open(directory.path().join("growing"))
        .unwrap();
    while child.try_wait().unwrap().is_none() {
        growing.write_all(b"more").unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        output.stderr,
        b"adler32: growing: changed while it was copied\n"
    );
    assert_eq!(names(&directory), ["growing"]);
}

#[test]
fn a_symbolic_link_stays() {
    let directory = files(&[("a", b"abcde"), ("old", b"old")]);
    let link = directory.path().join("link");
    symlink("old", &link).unwrap();
    assert_prints(copy(&directory, &["a", "link"]), "05c801f0  link\n");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(directory.path().join("old")).unwrap(), b"abcde");
}
