// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 sum --xattr`: checksums in extended attributes.

use std::fs;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::time::SystemTime;

use rustix::fs::XattrFlags;
use serde_json::json;
use serde_json::Value;
use tempfile::tempdir_in;
use tempfile::TempDir;

const XROOTD: &str = "user.XrdCks.adler32";
const STORM: &str = "user.storm.checksum.adler32";
const LEGACY: &str = "user.checksum.adler32";

fn run(directory: &TempDir, arguments: &[&str]) -> (String, String, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_adler32"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("the command runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let status = output.status.code().expect("an exit status");
    (text(output.stdout), text(output.stderr), status)
}

fn outcome(stdout: &str, stderr: &str, status: i32) -> (String, String, i32) {
    (stdout.to_owned(), stderr.to_owned(), status)
}

/// Makes a directory with files that were modified an hour ago.
fn files(files: &[(&str, &[u8])]) -> TempDir {
    // The directory for temporary files may be on a file system without attributes.
    let directory = tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    for (name, data) in files {
        let path = directory.path().join(name);
        fs::write(&path, data).expect("a file");
        set_modified(&path, SystemTime::now() - Duration::from_secs(3600));
    }
    directory
}

fn set_modified(path: &Path, time: SystemTime) {
    let file = File::options().write(true).open(path).expect("a file");
    file.set_modified(time).expect("a time");
}

/// Changes the content of a file, but not its time of modification.
fn rot(path: &Path, data: &[u8]) {
    let time = fs::metadata(path).unwrap().modified().unwrap();
    fs::write(path, data).unwrap();
    set_modified(path, time);
}

fn get(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = [0; 200];
    let length = rustix::fs::getxattr(path, name, &mut value).ok()?;
    Some(value[..length].to_vec())
}

fn set(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::setxattr(path, name, value, XattrFlags::empty()).expect("attributes");
}

/// Returns a record of XRootD: `struct.pack(">16sqihbb64s", ...)` in Python.
fn record(checksum: u32, modified: i64, since: i32) -> Vec<u8> {
    let mut record = b"adler32".to_vec();
    record.resize(16, 0);
    record.extend(modified.to_be_bytes());
    record.extend(since.to_be_bytes());
    record.extend([0, 0, 0, 4]);
    record.extend(checksum.to_be_bytes());
    record.resize(96, 0);
    record
}

fn modified(path: &Path) -> i64 {
    fs::metadata(path).unwrap().mtime()
}

/// Returns how many seconds ago a file was modified.
fn age(path: &Path) -> i32 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i32::try_from(now.unwrap().as_secs() as i64 - modified(path)).unwrap()
}

#[test]
fn stores_and_takes_the_record_of_xrootd() {
    let directory = files(&[("a", b"abcde")]);
    let path = directory.path().join("a");
    let sum = |options: &[&str]| {
        let arguments = [&["sum", "--xattr"], options, &["a"]].concat();
        run(&directory, &arguments)
    };
    let computed = outcome("05c801f0  a\n", "", 0);
    assert_eq!(sum(&[]), computed);
    let stored = get(&path, XROOTD).expect("an attribute");
    let ages = [age(&path), age(&path) - 1, age(&path) - 2];
    assert!(ages
        .iter()
        .any(|age| stored == record(0x05c8_01f0, modified(&path), *age)));

    // The command prints a stored checksum without reading the file. This one is wrong.
    set(
        &path,
        XROOTD,
        &record(0x0062_0062, modified(&path), age(&path)),
    );
    assert_eq!(sum(&[]), outcome("00620062  a\n", "", 0));
    assert_eq!(sum(&["--no-names"]), outcome("00620062\n", "", 0));
    let (line, _, _) = sum(&["--json"]);
    let object: Value = serde_json::from_str(&line).unwrap();
    let expected = json!({
        "file": "a",
        "adler32": "00620062",
        "length": 5,
        "modified": modified(&path),
        "stored": true,
    });
    assert_eq!(object, expected);
    let stored = run(&directory, &["xrootd", "--xattr", path.to_str().unwrap()]);
    assert_eq!(stored, outcome("00620062\n", "", 0));
    // Without the option, the command reads the file.
    assert_eq!(run(&directory, &["sum", "a"]), computed);

    assert_eq!(sum(&["--force"]), computed);
    assert_eq!(sum(&[]), computed);
}

#[test]
fn outdated_checksums_are_not_taken() {
    let directory = files(&[
        ("a", b"abcde"),
        ("b", b"abcde"),
        ("c", b"abcde"),
        ("d", b"abcde"),
    ]);
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| directory.path().join(name));
    // These files were modified after their checksums were stored.
    set(&a, XROOTD, &record(0x0062_0062, modified(&a) - 1, age(&a)));
    set(
        &b,
        LEGACY,
        format!("00620062:{}", modified(&b) - 1).as_bytes(),
    );
    // These files were changed after their checksums were stored, and their times set back.
    set(&c, XROOTD, &record(0x05c8_01f0, modified(&c), age(&c) - 10));
    set(&d, LEGACY, format!("05c801f0:{}", modified(&d)).as_bytes());
    let lines = "05c801f0  a\n05c801f0  b\n05c801f0  c\n05c801f0  d\n";
    let sum = run(&directory, &["sum", "--xattr", "a", "b", "c", "d"]);
    assert_eq!(sum, outcome(lines, "", 0));
    for path in [&a, &b, &c, &d] {
        let stored = get(path, XROOTD).expect("an attribute");
        assert_eq!(stored[16..24], modified(path).to_be_bytes());
        assert_eq!(stored[32..36], 0x05c8_01f0_u32.to_be_bytes());
        assert_eq!(get(path, LEGACY), None);
    }
}

#[test]
fn a_checksum_that_contradicts_the_data_stays() {
    let directory = files(&[("a", b"abcde")]);
    let path = directory.path().join("a");
    let stored = record(0x0062_0062, modified(&path), age(&path) - 10);
    set(&path, XROOTD, &stored);
    let error =
        "adler32: a: the stored checksum is 00620062, although the time of modification is \
                 the same; --force replaces it\n";
    assert_eq!(
        run(&directory, &["sum", "--xattr", "a"]),
        outcome("05c801f0  a\n", error, 1)
    );
    let absolute = path.to_str().unwrap();
    let reason = format!("{absolute}: checksum 05c801f0 differs from the stored one, 00620062");
    assert_eq!(
        run(&directory, &["xrootd", "--xattr", absolute]),
        outcome(&reason, &format!("adler32: {reason}\n"), 33)
    );
    assert_eq!(get(&path, XROOTD), Some(stored));
    set(&path, STORM, b"620062");
    let (_, error, status) = run(&directory, &["sum", "--xattr=storm", "a"]);
    assert!(error.contains("00620062") && status == 1);
    assert_eq!(get(&path, STORM).unwrap(), b"620062");
    let forced = run(&directory, &["sum", "--xattr=storm", "--force", "a"]);
    assert_eq!(forced, outcome("05c801f0  a\n", "", 0));
    assert_eq!(get(&path, STORM).unwrap(), b"05c801f0");
}

#[test]
fn checks_a_tree_against_its_attributes() {
    let directory = files(&[
        ("good", b"abcde"),
        ("legacy", b"abcde"),
        ("modified", b"abcde"),
        ("new", b"abcde"),
        ("rotten", b"abcde"),
    ]);
    let path = |name: &str| directory.path().join(name);
    let sums = run(
        &directory,
        &["sum", "--xattr", "good", "modified", "rotten"],
    );
    assert_eq!((&*sums.1, sums.2), ("", 0));
    set(
        &path("legacy"),
        LEGACY,
        format!("05c801f0:{}", modified(&path("legacy"))).as_bytes(),
    );
    rot(&path("rotten"), b"abcdf");
    fs::write(path("modified"), "other").unwrap();
    let check = |options: &[&str]| {
        let arguments = [&["sum", "-c", "-r", "--xattr"], options, &["."]].concat();
        run(&directory, &arguments)
    };
    let warnings = "adler32: WARNING: 1 file without a stored checksum\n\
                    adler32: WARNING: 1 file modified after the checksum was stored\n\
                    adler32: WARNING: 1 file did NOT match the stored checksum\n";
    let lines = "./good: OK\n\
                 ./legacy: OK\n\
                 ./modified: not checked: modified after its checksum was stored\n\
                 ./new: not checked: no stored checksum\n\
                 ./rotten: FAILED\n";
    assert_eq!(check(&[]), outcome(lines, warnings, 1));
    assert_eq!(
        check(&["--quiet"]),
        outcome("./rotten: FAILED\n", warnings, 1)
    );
    assert_eq!(check(&["--status"]), outcome("", "", 1));
    let (lines, ..) = check(&["--json"]);
    let objects = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let objects: Vec<Value> = objects.collect();
    let results: Vec<_> = objects
        .iter()
        .map(|object| object["result"].as_str())
        .collect();
    let expected = ["ok", "ok", "outdated", "missing", "failed"].map(Some);
    assert_eq!(results, expected);
    assert_eq!(
        objects[4],
        json!({
            "file": "./rotten",
            "result": "failed",
            "stored": "05c801f0",
            "adler32": "05c901f1",
            "length": 5,
        })
    );

    fs::remove_file(path("rotten")).unwrap();
    assert_eq!(check(&["--status"]).2, 0);
    assert_eq!(check(&["--status", "--strict"]).2, 2);
    let none = run(&directory, &["sum", "-c", "--xattr", "new", "none"]);
    assert_eq!(none.2, 2);
    assert!(none.1.contains("no file was verified"), "{}", none.1);
}

#[test]
fn checks_the_attribute_of_storm() {
    let directory = files(&[("a", &[0; 4]), ("b", b"abcde")]);
    // The gateway for WebDAV writes checksums without leading zeros.
    set(&directory.path().join("a"), STORM, b"40001");
    set(&directory.path().join("b"), STORM, b"00040001");
    let (lines, _, status) = run(&directory, &["sum", "-c", "--xattr=storm", "a", "b"]);
    assert_eq!((&*lines, status), ("a: OK\nb: FAILED\n", 1));
}

#[test]
fn attributes_that_cannot_be_written_are_warnings() {
    let directory = files(&[("a", b"abcde")]);
    let path = directory.path().join("a");
    if rustix::process::geteuid().is_root() {
        // An immutable file refuses attributes even to root.
        let file = File::open(&path).unwrap();
        let immutable = rustix::fs::IFlags::IMMUTABLE;
        if rustix::fs::ioctl_setflags(&file, immutable).is_err() {
            return;
        }
        let sum = run(&directory, &["sum", "--xattr", "a"]);
        rustix::fs::ioctl_setflags(&file, rustix::fs::IFlags::empty()).unwrap();
        let warning = "adler32: a: checksum not stored: Operation not permitted\n";
        assert_eq!(sum, outcome("05c801f0  a\n", warning, 0));
    } else {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        let sum = run(&directory, &["sum", "--xattr", "a"]);
        let warning = "adler32: a: checksum not stored: Permission denied\n";
        assert_eq!(sum, outcome("05c801f0  a\n", warning, 0));
    }
    // Only regular files have such attributes.
    let null = run(&directory, &["sum", "--xattr", "/dev/null"]);
    assert_eq!(null, outcome("00000001  /dev/null\n", "", 0));
}

#[test]
fn the_options_for_attributes() {
    let directory = files(&[("a", b"abcde")]);
    for (arguments, error) in [
        (&["sum", "--force", "a"][..], "meaningful only with --xattr"),
        (
            &["sum", "-c", "--xattr", "--force", "a"],
            "meaningful only with --xattr",
        ),
        (
            &["sum", "--xattr", "--range", "0:1", "a"],
            "--xattr does not support",
        ),
        (
            &["sum", "--xattr=x", "a"],
            "invalid argument 'x' for '--xattr",
        ),
    ] {
        let (stdout, stderr, status) = run(&directory, arguments);
        assert!(
            stdout.is_empty() && stderr.contains(error) && status == 2,
            "{stderr}"
        );
    }
}
