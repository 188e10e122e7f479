// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 sum --xattr`: checksums in extended attributes.

use std::fs;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use std::time::SystemTime;

use rustix::fs::XattrFlags;
use serde_json::json;
use serde_json::Value;
use tempfile::TempDir;

use crate::assert_outcome;
use crate::assert_prints;
use crate::files;
use crate::outcome;
use crate::run_in;

const XROOTD: &str = "user.XrdCks.adler32";
const STORM: &str = "user.storm.checksum.adler32";
const LEGACY: &str = "user.checksum.adler32";

/// Makes a directory with files that were modified an hour ago.
fn old_files(list: &[(&str, &[u8])]) -> TempDir {
    let directory = files(list);
    for (name, _) in list {
        let path = directory.path().join(name);
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
    let directory = old_files(&[("a", b"abcde")]);
    let path = directory.path().join("a");
    let sum = |options: &[&str]| {
        let arguments = [&["sum", "--xattr"], options, &["a"]].concat();
        run_in(&directory, &arguments)
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
    assert_prints(sum(&[]), "00620062  a\n");
    assert_prints(sum(&["--no-names"]), "00620062\n");
    let object: Value = serde_json::from_str(&sum(&["--json"]).stdout).unwrap();
    let expected = json!({
        "file": "a",
        "adler32": "00620062",
        "length": 5,
        "modified": modified(&path),
        "stored": true,
    });
    assert_eq!(object, expected);
    let stored = run_in(&directory, &["xrootd", "--xattr", path.to_str().unwrap()]);
    assert_prints(stored, "00620062\n");
    // Without the option, the command reads the file.
    assert_eq!(run_in(&directory, &["sum", "a"]), computed);

    assert_eq!(sum(&["--force"]), computed);
    assert_eq!(sum(&[]), computed);
}

#[test]
fn outdated_checksums_are_not_taken() {
    let directory = old_files(&[
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
    let sum = run_in(&directory, &["sum", "--xattr", "a", "b", "c", "d"]);
    assert_prints(sum, lines);
    for path in [&a, &b, &c, &d] {
        let stored = get(path, XROOTD).expect("an attribute");
        assert_eq!(stored[16..24], modified(path).to_be_bytes());
        assert_eq!(stored[32..36], 0x05c8_01f0_u32.to_be_bytes());
        assert_eq!(get(path, LEGACY), None);
    }
}

#[test]
fn a_checksum_that_contradicts_the_data_stays() {
    let directory = old_files(&[("a", b"abcde")]);
    let path = directory.path().join("a");
    let stored = record(0x0062_0062, modified(&path), age(&path) - 10);
    set(&path, XROOTD, &stored);
    let error =
        "adler32: a: the stored checksum is 00620062, although the time of modification is \
                 the same; --force replaces it\n";
    assert_outcome(
        run_in(&directory, &["sum", "--xattr", "a"]),
        "05c801f0  a\n",
        error,
        1,
    );
    let absolute = path.to_str().unwrap();
    let reason = format!("{absolute}: checksum 05c801f0 differs from the stored one, 00620062");
    assert_outcome(
        run_in(&directory, &["xrootd", "--xattr", absolute]),
        &reason,
        &format!("adler32: {reason}\n"),
        33,
    );
    assert_eq!(get(&path, XROOTD), Some(stored));
    set(&path, STORM, b"620062");
    let refused = run_in(&directory, &["sum", "--xattr=storm", "a"]);
    assert!(refused.stderr.contains("00620062") && refused.status == Some(1));
    assert_eq!(get(&path, STORM).unwrap(), b"620062");
    let forced = run_in(&directory, &["sum", "--xattr=storm", "--force", "a"]);
    assert_prints(forced, "05c801f0  a\n");
    assert_eq!(get(&path, STORM).unwrap(), b"05c801f0");
}

#[test]
fn checks_a_tree_against_its_attributes() {
    let directory = old_files(&[
        ("good", b"abcde"),
        ("legacy", b"abcde"),
        ("modified", b"abcde"),
        ("new", b"abcde"),
        ("rotten", b"abcde"),
    ]);
    let path = |name: &str| directory.path().join(name);
    let sums = run_in(
        &directory,
        &["sum", "--xattr", "good", "modified", "rotten"],
    );
    assert_eq!((&*sums.stderr, sums.status), ("", Some(0)));
    set(
        &path("legacy"),
        LEGACY,
        format!("05c801f0:{}", modified(&path("legacy"))).as_bytes(),
    );
    rot(&path("rotten"), b"abcdf");
    fs::write(path("modified"), "other").unwrap();
    let check = |options: &[&str]| {
        let arguments = [&["sum", "-c", "-r", "--xattr"], options, &["."]].concat();
        run_in(&directory, &arguments)
    };
    let warnings = "adler32: WARNING: 1 file without a stored checksum\n\
                    adler32: WARNING: 1 file modified after the checksum was stored\n\
                    adler32: WARNING: 1 file did NOT match the stored checksum\n";
    let lines = "./good: OK\n\
                 ./legacy: OK\n\
                 ./modified: not checked: modified after its checksum was stored\n\
                 ./new: not checked: no stored checksum\n\
                 ./rotten: FAILED\n";
    assert_outcome(check(&[]), lines, warnings, 1);
    assert_outcome(check(&["--quiet"]), "./rotten: FAILED\n", warnings, 1);
    assert_outcome(check(&["--status"]), "", "", 1);
    let lines = check(&["--json"]).stdout;
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
    assert_eq!(check(&["--status"]).status, Some(0));
    assert_eq!(check(&["--status", "--strict"]).status, Some(2));
    let none = run_in(&directory, &["sum", "-c", "--xattr", "new", "none"]);
    assert_eq!(none.status, Some(2));
    assert!(none.stderr.contains("no file was verified"), "{none:?}");
}

#[test]
fn checks_the_attribute_of_storm() {
    let directory = old_files(&[("a", &[0; 4]), ("b", b"abcde")]);
    // The gateway for WebDAV writes checksums without leading zeros.
    set(&directory.path().join("a"), STORM, b"40001");
    set(&directory.path().join("b"), STORM, b"00040001");
    let check = run_in(&directory, &["sum", "-c", "--xattr=storm", "a", "b"]);
    let expected = ("a: OK\nb: FAILED\n", Some(1));
    assert_eq!((&*check.stdout, check.status), expected);
}

#[test]
fn attributes_that_cannot_be_written_are_warnings() {
    let directory = old_files(&[("a", b"abcde")]);
    let path = directory.path().join("a");
    if rustix::process::geteuid().is_root() {
        // An immutable file refuses attributes even to root.
        let file = File::open(&path).unwrap();
        let immutable = rustix::fs::IFlags::IMMUTABLE;
        if rustix::fs::ioctl_setflags(&file, immutable).is_err() {
            return;
        }
        let sum = run_in(&directory, &["sum", "--xattr", "a"]);
        rustix::fs::ioctl_setflags(&file, rustix::fs::IFlags::empty()).unwrap();
        let warning = "adler32: a: checksum not stored: Operation not permitted\n";
        assert_outcome(sum, "05c801f0  a\n", warning, 0);
    } else {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        let sum = run_in(&directory, &["sum", "--xattr", "a"]);
        let warning = "adler32: a: checksum not stored: Permission denied\n";
        assert_outcome(sum, "05c801f0  a\n", warning, 0);
    }
    // Only regular files have such attributes.
    let null = run_in(&directory, &["sum", "--xattr", "/dev/null"]);
    assert_prints(null, "00000001  /dev/null\n");
}

#[test]
fn the_options_for_attributes() {
    let directory = old_files(&[("a", b"abcde")]);
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
        let refused = run_in(&directory, arguments);
        assert_eq!((&*refused.stdout, refused.status), ("", Some(2)));
        assert!(refused.stderr.contains(error), "{refused:?}");
    }
}
