// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The command as a program for grid storage.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;

use nix::unistd;
use tempfile::TempDir;

use crate::adler32;
use crate::assert_fails;
use crate::assert_outcome;
use crate::assert_prints;
use crate::feed;
use crate::files;
use crate::outcome;
use crate::run;
use crate::run_in;
use crate::Outcome;

/// Runs `adler32 ARGUMENTS` in a directory with a standard input.
fn feed_in(directory: &TempDir, arguments: &[&str], stdin: &str) -> Outcome {
    feed(
        adler32().args(arguments).current_dir(directory),
        &[stdin.as_bytes()],
    )
}

#[test]
fn checksums_without_names() {
    let directory = files(&[("empty", b""), ("new\nline", b"abcde"), ("zeros", &[0; 4])]);
    let sum = |arguments: &[&str]| run_in(&directory, arguments);
    assert_prints(
        sum(&["sum", "--no-names", "empty", "new\nline", "zeros"]),
        "00000001\n05c801f0\n00040001\n",
    );
    assert_prints(sum(&["sum", "--no-names", "-z", "empty"]), "00000001\0");
    let error = "adler32: none: No such file or directory\n";
    assert_fails(sum(&["sum", "--no-names", "none"]), error);
    let refused = sum(&["sum", "--no-names", "--tag", "empty"]);
    assert!(refused.stderr.contains("--no-names does not support") && refused.status == Some(2));
}

#[test]
fn the_checksum_program_of_xrootd() {
    let directory = files(&[("a b", b"abcde"), ("zeros", &[0; 4]), ("unreadable", b"")]);
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let xrootd = |arguments: &[&str]| {
        let arguments = [&["xrootd"], arguments].concat();
        run_in(&directory, &arguments)
    };
    let (a_b, zeros) = (path("a b"), path("zeros"));
    assert_prints(xrootd(&[&a_b]), "05c801f0\n");
    // The name of the type may come first. The operands after the path are not options.
    for operands in [
        &["adler32", &zeros, "root.1:2@host"][..],
        &["ADLER32", &zeros, "--help", "-x"],
    ] {
        assert_prints(xrootd(operands), "00040001\n");
    }
    // The option or the environment variable gives the root of the server, above the path.
    let root = directory.path().to_str().unwrap();
    for path in ["/zeros", "zeros", "//zeros"] {
        assert_prints(xrootd(&["--root", root, path]), "00040001\n");
    }
    let mut from_server = adler32();
    from_server
        .args(["xrootd", "/zeros"])
        .env("XRDLCLROOT", root);
    assert_eq!(run(&mut from_server).stdout, "00040001\n");

    // The command prints the reason on its standard output, and exits with the error number.
    let fails = |operands: &[&str], reason: &str, errno: i32| {
        let error = format!("adler32: {reason}\n");
        assert_outcome(xrootd(operands), reason, &error, errno);
    };
    let none = path("none");
    fails(&[&none], &format!("{none}: No such file or directory"), 2);
    fails(&[root], &format!("{root}: Is a directory"), 21);
    fails(&["/dev/null"], "/dev/null: Block device required", 15);
    fails(
        &["--root", root, "/../etc/passwd"],
        "/../etc/passwd: Invalid argument",
        22,
    );
    fails(
        &["md5", &zeros, "root.1:2@host"],
        "md5 checksum not supported, only adler32",
        95,
    );
    fails(
        &["adler32", &zeros],
        "the operands are neither PATH nor adler32 PATH TIDENT [USER]",
        22,
    );
    if !unistd::geteuid().is_root() {
        let unreadable = path("unreadable");
        fs::set_permissions(&unreadable, fs::Permissions::from_mode(0o000)).unwrap();
        let reason = format!("{unreadable}: Permission denied");
        fails(&[&unreadable], &reason, 13);
    }
}

#[test]
fn lists_of_the_field() {
    let directory = files(&[("z", &[0; 4]), ("abcde", b"abcde")]);
    let root = directory.path().to_str().unwrap();
    for line in [
        "40001  z",
        "40001 z",
        "ADLER32 (z) = 40001",
        "adler32:40001  z",
        "ad:40001  z",
        "ADLER32=40001  z",
        "z 00040001",
        "0x40001  z",
    ] {
        let check = |arguments: &[&str]| {
            let arguments = [&["sum", "-c"], arguments].concat();
            feed_in(
                &directory,
                &arguments,
                &format!("{line}\nADLER32 (abcde) = 05C801F0\n"),
            )
        };
        assert_eq!(check(&[]), outcome("z: OK\nabcde: OK\n", "", 0), "{line}");
        assert_eq!(
            check(&["--strict"]),
            outcome(
                "abcde: OK\n",
                "adler32: WARNING: 1 line is improperly formatted\n",
                2
            ),
            "{line}"
        );
    }
    // Lines in each form, with a wrong checksum or a wrong size.
    for line in [
        "40002  z",
        "ad:40002  z",
        "z 00040002",
        &format!("adler32: 40001 {root}/z 5"),
        &format!("path={root}/z size=5 time=0.01 adler32=00040001"),
    ] {
        let check = feed_in(&directory, &["sum", "-c"], line);
        assert!(check.stdout.ends_with("z: FAILED\n"), "{line}");
        assert_eq!(check.status, Some(1), "{line}");
    }
}

#[test]
fn unclear_lines_are_errors() {
    let directory = files(&[("z", &[0; 4]), ("abc", b"abcde")]);
    let check = |arguments: &[&str], list: &str| {
        let arguments = [&["sum", "-c"], arguments].concat();
        feed_in(&directory, &arguments, list)
    };
    let warning = "adler32: WARNING: 1 line is improperly formatted\n";
    let ambiguous = "adler32: 'standard input': 1: ambiguous, because both the first and the last \
                     word can be the checksum\n";
    assert_outcome(
        check(&[], "abc 05c801f0\nz 00040001\n"),
        "z: OK\n",
        &format!("{ambiguous}{warning}"),
        2,
    );
    let nameless = "adler32: 'standard input': 1: a checksum without a name, which --name can \
                    supply\n";
    assert_outcome(
        check(&[], "adler32 00040001\n40001  z\n"),
        "z: OK\n",
        &format!("{nameless}{warning}"),
        2,
    );
    for line in [
        "adler32 00040001",
        "40001",
        "HTTP/1.1 200 OK\r\nServer: x\r\nDigest: adler32=40001\r\n\r",
        "Repr-Digest: adler=:AAQAAQ==:",
    ] {
        assert_eq!(
            check(&["--name", "z"], line),
            outcome("z: OK\n", "", 0),
            "{line}"
        );
    }
}

#[test]
fn fields_of_http_headers() {
    let directory = files(&[("a", b"abcde"), ("zeros", &[0; 4])]);
    for (field, lines) in [
        (
            "digest",
            ["Digest: adler32=05c801f0", "Digest: adler32=00040001"],
        ),
        (
            "repr-digest",
            [
                "Repr-Digest: adler=:BcgB8A==:",
                "Repr-Digest: adler=:AAQAAQ==:",
            ],
        ),
        (
            "content-digest",
            [
                "Content-Digest: adler=:BcgB8A==:",
                "Content-Digest: adler=:AAQAAQ==:",
            ],
        ),
    ] {
        let printed = run_in(&directory, &["sum", "--header", field, "a", "zeros"]);
        assert_prints(printed, &(lines.join("\n") + "\n"));
        // The command accepts the lines that it prints.
        for (name, line) in ["a", "zeros"].into_iter().zip(lines) {
            let checked = feed_in(&directory, &["sum", "-c", "--name", name], line);
            assert_prints(checked, &format!("{name}: OK\n"));
        }
    }
}

#[test]
fn parts_with_checksums_of_the_field() {
    let directory = files(&[]);
    let combine = |parts: &str| feed_in(&directory, &["combine"], parts);
    let parts_of_zeros = "ad:20001  0:2/4  z\n0x20001  2:2/4  z\n";
    assert_prints(combine(parts_of_zeros), "00040001  z\n");
    assert_eq!(
        combine(&parts_of_zeros.replace("ad:", "ADLER32=")).stdout,
        "00040001  z\n"
    );
    let json = r#"{"file":"z","adler32":"40001","length":4,"offset":0,"size":4}"#;
    assert_prints(combine(json), "00040001  z\n");
}

#[test]
fn names_from_a_list() {
    let directory = files(&[
        ("a", b"abcde"),
        ("new\nline", &[0; 4]),
        ("names", b"a\0new\nline\0"),
        ("bad", b"a\0\0none\0-"),
    ]);
    fs::create_dir(directory.path().join("sub")).unwrap();
    fs::write(directory.path().join("sub/b"), "").unwrap();
    let sum = |arguments: &[&str], stdin: &str| {
        let arguments = [&["sum"], arguments].concat();
        feed_in(&directory, &arguments, stdin)
    };
    let lines = "05c801f0  a\n\\00040001  new\\nline\n";
    assert_prints(sum(&["--files0-from", "names"], ""), lines);
    assert_prints(sum(&["--files0-from=-"], "a\0new\nline"), lines);
    assert_prints(
        sum(&["-r", "--files0-from=-"], "sub\0a"),
        "00000001  sub/b\n05c801f0  a\n",
    );
    assert_outcome(
        sum(&["--files0-from", "bad"], "abcde"),
        "05c801f0  a\n05c801f0  -\n",
        "adler32: bad: name 2 has no length\n\
             adler32: none: No such file or directory\n",
        2,
    );
    assert_outcome(
        sum(&["--files0-from=-"], "-\0a\0"),
        "05c801f0  a\n",
        "adler32: -: name 1 is that of the standard input\n",
        2,
    );
    assert_fails(
        sum(&["--files0-from", "none"], ""),
        "adler32: none: No such file or directory\n",
    );
    assert_fails(
        sum(&["--files0-from", "."], ""),
        "adler32: .: Is a directory\n",
    );
    for (arguments, error) in [
        (
            &["--files0-from", "names", "a"],
            "cannot be combined with --files0-from",
        ),
        (
            &["-c", "--files0-from", "names"],
            "meaningless when verifying",
        ),
    ] {
        let refused = sum(arguments, "");
        assert!(refused.stderr.contains(error) && refused.status == Some(2));
    }
}

#[test]
fn names_relative_to_the_list() {
    let directory = files(&[("a", b"other")]);
    fs::create_dir(directory.path().join("sub")).unwrap();
    fs::write(directory.path().join("sub/a"), "abcde").unwrap();
    fs::write(directory.path().join("sub/list"), "05c801f0  a\n").unwrap();
    let check = |arguments: &[&str]| {
        let arguments = [&["sum", "-c"], arguments].concat();
        run_in(&directory, &arguments)
    };
    assert_prints(check(&["--relative", "sub/list"]), "a: OK\n");
    assert_eq!(check(&["--status", "sub/list"]).status, Some(1));
    let list = directory.path().join("sub/list");
    let list = list.to_str().unwrap();
    assert_prints(check(&["--relative", list]), "a: OK\n");
}

#[test]
fn files_in_no_list() {
    let directory = files(&[]);
    let root = directory.path();
    fs::create_dir_all(root.join("data/sub")).unwrap();
    for name in ["data/a", "data/sub/a", "data/sub/b"] {
        fs::write(root.join(name), "abcde").unwrap();
    }
    fs::write(
        root.join("data/list"),
        "05c801f0  data/a\n05c801f0  data/./sub/../sub/a\n",
    )
    .unwrap();
    let audit = |arguments: &[&str]| {
        let arguments = [&["sum", "-c", "--quiet"], arguments].concat();
        run_in(root, &arguments)
    };
    let unlisted = "data/sub/b: NOT LISTED\n";
    let warning = "adler32: WARNING: 1 file is in no list\n";
    assert_outcome(
        audit(&["--audit", "data", "data/list"]),
        unlisted,
        warning,
        1,
    );
    assert_outcome(
        audit(&[
            "--audit",
            "data/sub",
            "--audit",
            "data",
            "--status",
            "data/list",
        ]),
        "",
        "",
        1,
    );
    fs::write(root.join("more"), "05c801f0  sub/b\n").unwrap();
    fs::rename(root.join("more"), root.join("data/more")).unwrap();
    // Every list counts, and a list is no data.
    fs::write(root.join("data/list"), "05c801f0  a\n05c801f0  sub/a\n").unwrap();
    assert_prints(
        audit(&["--relative", "--audit", "data", "data/list", "data/more"]),
        "",
    );
    let failed = audit(&["--relative", "--audit", "none", "data/list"]);
    assert_eq!(failed.stderr, "adler32: none: No such file or directory\n");
    assert_eq!(failed.status, Some(2));
}

#[test]
fn one_file_system() {
    let device = |path: &str| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    let shared = tempfile::Builder::new().tempfile_in("/dev/shm");
    if let (Ok(file), true) = (shared, device("/dev") != device("/dev/shm")) {
        let lines = run_in("/", &["sum", "-r", "-x", "/dev"]).stdout;
        assert!(!lines.contains(file.path().to_str().unwrap()), "{lines}");
    }
    let directory = files(&[("a", b"abcde")]);
    let sum = |arguments: &[&str]| run_in(&directory, arguments);
    for option in ["-x", "--one-file-system"] {
        assert_prints(sum(&["sum", "-r", option, "."]), "05c801f0  ./a\n");
        let refused = sum(&["sum", option, "a"]);
        assert!(
            refused.stderr.contains("only with --recursive"),
            "{refused:?}"
        );
        assert_eq!(refused.status, Some(2));
    }
}
