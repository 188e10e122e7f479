// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The command as a program for grid storage.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use nix::unistd;
use tempfile::tempdir;
use tempfile::TempDir;

/// Runs the command in a directory with a standard input. Returns its standard output, its standard
/// error and its exit status.
fn run_with(directory: &Path, arguments: &[&str], stdin: &str) -> (String, String, i32) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_adler32"))
        .args(arguments)
        .current_dir(directory)
        .env_remove("XRDLCLROOT")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command runs");
    let mut pipe = child.stdin.take().expect("a pipe");
    let _ = pipe.write_all(stdin.as_bytes());
    drop(pipe);
    let output = child.wait_with_output().expect("the command ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let status = output.status.code().expect("an exit status");
    (text(output.stdout), text(output.stderr), status)
}

fn run(directory: &Path, arguments: &[&str]) -> (String, String, i32) {
    run_with(directory, arguments, "")
}

fn outcome(stdout: &str, stderr: &str, status: i32) -> (String, String, i32) {
    (stdout.to_owned(), stderr.to_owned(), status)
}

fn files(files: &[(&str, &[u8])]) -> TempDir {
    let directory = tempdir().expect("a directory");
    for (name, data) in files {
        fs::write(directory.path().join(name), data).expect("a file");
    }
    directory
}

#[test]
fn checksums_without_names() {
    let directory = files(&[("empty", b""), ("new\nline", b"abcde"), ("zeros", &[0; 4])]);
    let sum = |arguments: &[&str]| run(directory.path(), arguments);
    assert_eq!(
        sum(&["sum", "--no-names", "empty", "new\nline", "zeros"]),
        outcome("00000001\n05c801f0\n00040001\n", "", 0)
    );
    assert_eq!(
        sum(&["sum", "--no-names", "-z", "empty"]),
        outcome("00000001\0", "", 0)
    );
    let error = "adler32: none: No such file or directory\n";
    assert_eq!(sum(&["sum", "--no-names", "none"]), outcome("", error, 2));
    let (_, error, status) = sum(&["sum", "--no-names", "--tag", "empty"]);
    assert!(error.contains("--no-names does not support") && status == 2);
}

#[test]
fn the_checksum_program_of_xrootd() {
    let directory = files(&[("a b", b"abcde"), ("zeros", &[0; 4]), ("unreadable", b"")]);
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let xrootd = |arguments: &[&str]| {
        let arguments = [&["xrootd"], arguments].concat();
        run(directory.path(), &arguments)
    };
    let (a_b, zeros) = (path("a b"), path("zeros"));
    assert_eq!(xrootd(&[&a_b]), outcome("05c801f0\n", "", 0));
    // The name of the type may come first. The operands after the path are not options.
    for operands in [
        &["adler32", &zeros, "root.1:2@host"][..],
        &["ADLER32", &zeros, "--help", "-x"],
    ] {
        assert_eq!(xrootd(operands), outcome("00040001\n", "", 0));
    }
    // The option or the environment variable gives the root of the server, above the path.
    let root = directory.path().to_str().unwrap();
    for path in ["/zeros", "zeros", "//zeros"] {
        assert_eq!(
            xrootd(&["--root", root, path]),
            outcome("00040001\n", "", 0)
        );
    }
    let output = Command::new(env!("CARGO_BIN_EXE_adler32"))
        .args(["xrootd", "/zeros"])
        .env("XRDLCLROOT", root)
        .output();
    assert_eq!(output.unwrap().stdout, b"00040001\n");

    // The command prints the reason on its standard output, and exits with the error number.
    let fails = |operands: &[&str], reason: &str, errno: i32| {
        let error = format!("adler32: {reason}\n");
        assert_eq!(xrootd(operands), outcome(reason, &error, errno));
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
            run_with(
                directory.path(),
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
        let (stdout, _, status) = run_with(directory.path(), &["sum", "-c"], line);
        assert!(stdout.ends_with("z: FAILED\n") && status == 1, "{line}");
    }
}

#[test]
fn unclear_lines_are_errors() {
    let directory = files(&[("z", &[0; 4]), ("abc", b"abcde")]);
    let check = |arguments: &[&str], list: &str| {
        let arguments = [&["sum", "-c"], arguments].concat();
        run_with(directory.path(), &arguments, list)
    };
    let warning = "adler32: WARNING: 1 line is improperly formatted\n";
    let ambiguous = "adler32: 'standard input': 1: ambiguous, because both the first and the last \
                     word can be the checksum\n";
    assert_eq!(
        check(&[], "abc 05c801f0\nz 00040001\n"),
        outcome("z: OK\n", &format!("{ambiguous}{warning}"), 2)
    );
    let nameless = "adler32: 'standard input': 1: a checksum without a name, which --name can \
                    supply\n";
    assert_eq!(
        check(&[], "adler32 00040001\n40001  z\n"),
        outcome("z: OK\n", &format!("{nameless}{warning}"), 2)
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
        let printed = run(directory.path(), &["sum", "--header", field, "a", "zeros"]);
        assert_eq!(printed, outcome(&(lines.join("\n") + "\n"), "", 0));
        // The command accepts the lines that it prints.
        for (name, line) in ["a", "zeros"].into_iter().zip(lines) {
            let checked = run_with(directory.path(), &["sum", "-c", "--name", name], line);
            assert_eq!(checked, outcome(&format!("{name}: OK\n"), "", 0));
        }
    }
}

#[test]
fn parts_with_checksums_of_the_field() {
    let directory = files(&[]);
    let combine = |parts: &str| run_with(directory.path(), &["combine"], parts);
    let parts_of_zeros = "ad:20001  0:2/4  z\n0x20001  2:2/4  z\n";
    assert_eq!(combine(parts_of_zeros), outcome("00040001  z\n", "", 0));
    assert_eq!(
        combine(&parts_of_zeros.replace("ad:", "ADLER32=")).0,
        "00040001  z\n"
    );
    let json = r#"{"file":"z","adler32":"40001","length":4,"offset":0,"size":4}"#;
    assert_eq!(combine(json), outcome("00040001  z\n", "", 0));
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
        run_with(directory.path(), &arguments, stdin)
    };
    let lines = "05c801f0  a\n\\00040001  new\\nline\n";
    assert_eq!(sum(&["--files0-from", "names"], ""), outcome(lines, "", 0));
    assert_eq!(
        sum(&["--files0-from=-"], "a\0new\nline"),
        outcome(lines, "", 0)
    );
    assert_eq!(
        sum(&["-r", "--files0-from=-"], "sub\0a"),
        outcome("00000001  sub/b\n05c801f0  a\n", "", 0)
    );
    assert_eq!(
        sum(&["--files0-from", "bad"], "abcde"),
        outcome(
            "05c801f0  a\n05c801f0  -\n",
            "adler32: bad: name 2 has no length\n\
             adler32: none: No such file or directory\n",
            2
        )
    );
    assert_eq!(
        sum(&["--files0-from=-"], "-\0a\0"),
        outcome(
            "05c801f0  a\n",
            "adler32: -: name 1 is that of the standard input\n",
            2
        )
    );
    assert_eq!(
        sum(&["--files0-from", "none"], ""),
        outcome("", "adler32: none: No such file or directory\n", 2)
    );
    assert_eq!(
        sum(&["--files0-from", "."], ""),
        outcome("", "adler32: .: Is a directory\n", 2)
    );
    let (_, error, status) = sum(&["--files0-from", "names", "a"], "");
    assert!(error.contains("cannot be combined with --files0-from") && status == 2);
    let (_, error, status) = sum(&["-c", "--files0-from", "names"], "");
    assert!(error.contains("meaningless when verifying") && status == 2);
}

#[test]
fn names_relative_to_the_list() {
    let directory = files(&[("a", b"other")]);
    fs::create_dir(directory.path().join("sub")).unwrap();
    fs::write(directory.path().join("sub/a"), "abcde").unwrap();
    fs::write(directory.path().join("sub/list"), "05c801f0  a\n").unwrap();
    let check = |arguments: &[&str]| {
        let arguments = [&["sum", "-c"], arguments].concat();
        run(directory.path(), &arguments)
    };
    assert_eq!(
        check(&["--relative", "sub/list"]),
        outcome("a: OK\n", "", 0)
    );
    assert_eq!(check(&["--status", "sub/list"]).2, 1);
    let list = directory.path().join("sub/list");
    let list = list.to_str().unwrap();
    assert_eq!(check(&["--relative", list]), outcome("a: OK\n", "", 0));
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
        run(root, &arguments)
    };
    let unlisted = "data/sub/b: NOT LISTED\n";
    let warning = "adler32: WARNING: 1 file is in no list\n";
    assert_eq!(
        audit(&["--audit", "data", "data/list"]),
        outcome(unlisted, warning, 1)
    );
    assert_eq!(
        audit(&[
            "--audit",
            "data/sub",
            "--audit",
            "data",
            "--status",
            "data/list"
        ]),
        outcome("", "", 1)
    );
    fs::write(root.join("more"), "05c801f0  sub/b\n").unwrap();
    fs::rename(root.join("more"), root.join("data/more")).unwrap();
    // Every list counts, and a list is no data.
    fs::write(root.join("data/list"), "05c801f0  a\n05c801f0  sub/a\n").unwrap();
    assert_eq!(
        audit(&["--relative", "--audit", "data", "data/list", "data/more"]),
        outcome("", "", 0)
    );
    let (_, error, status) = audit(&["--relative", "--audit", "none", "data/list"]);
    assert_eq!(
        (&*error, status),
        ("adler32: none: No such file or directory\n", 2)
    );
}

#[test]
fn one_file_system() {
    let device = |path: &str| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    let shared = tempfile::Builder::new().tempfile_in("/dev/shm");
    if let (Ok(file), true) = (shared, device("/dev") != device("/dev/shm")) {
        let (lines, ..) = run(Path::new("/"), &["sum", "-r", "-x", "/dev"]);
        assert!(!lines.contains(file.path().to_str().unwrap()), "{lines}");
    }
    let directory = files(&[("a", b"abcde")]);
    let sum = |arguments: &[&str]| run(directory.path(), arguments);
    for option in ["-x", "--one-file-system"] {
        assert_eq!(
            sum(&["sum", "-r", option, "."]),
            outcome("05c801f0  ./a\n", "", 0)
        );
        let (_, error, status) = sum(&["sum", option, "a"]);
        assert!(
            error.contains("only with --recursive") && status == 2,
            "{error}"
        );
    }
}
