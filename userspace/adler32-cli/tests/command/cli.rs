// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Everything except grid storage, extended attributes, copies and benchmarks. Output that depends
//! on the kernel module is compared with the results of the library.

use std::ffi::OsStr;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use adler32::processor;
use adler32::Backend;
use adler32::BackendKind;
use adler32::Session;
use adler32_cli::probe_af_alg;
use adler32_cli::Diagnosis;
use nix::pty;
use nix::sys::signal;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd;
use nix::unistd::Pid;
use serde_json::json;
use serde_json::Value;
use tempfile::tempdir;
use tempfile::TempDir;

use crate::adler32;
use crate::assert_fails;
use crate::assert_outcome;
use crate::assert_prints;
use crate::feed;
use crate::files;
use crate::run;
use crate::run_in;
use crate::way_of_cached;
use crate::Outcome;

/// Checks that the arguments are refused. `command` is the one whose help is suggested.
#[track_caller]
fn assert_refused(outcome: Outcome, command: &str, message: &str) {
    let hint = format!("Try '{command} --help' for more information.");
    assert_fails(outcome, &format!("adler32: {message}\n{hint}\n"));
}

/// Runs `adler32 sum ARGUMENTS` and writes the pieces of `stdin`.
fn sum_of(arguments: &[&str], stdin: &[&[u8]]) -> Outcome {
    feed(adler32().arg("sum").args(arguments), stdin)
}

/// Returns the command under the name `adler32sum`, in a new directory.
fn adler32sum() -> (TempDir, Command) {
    let directory = tempdir().expect("a directory");
    let link = directory.path().join("adler32sum");
    symlink(env!("CARGO_BIN_EXE_adler32"), &link).expect("a symbolic link");
    let mut command = Command::new(link);
    command.stdin(Stdio::null()).current_dir(&directory);
    (directory, command)
}

fn sum_in(directory: impl AsRef<Path>, arguments: &[&str]) -> Outcome {
    run_in(directory, &[&["sum"], arguments].concat())
}

/// Returns the result of `work`, unless it takes too long.
fn soon<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, result) = mpsc::channel();
    thread::spawn(move || sender.send(work()));
    result.recv_timeout(Duration::from_secs(20)).ok()
}

#[test]
fn sums_files() {
    let directory = files(&[
        ("empty", b""),
        ("abc", b"abc"),
        ("wiki pedia", b"Wikipedia"),
        ("-dash", b"a"),
    ]);
    let lines = "00000001  empty\n024d0127  abc\n11e60398  wiki pedia\n00620062  -dash\n";
    for options in [&[][..], &["--via", "cpu"]] {
        let arguments = [options, &["--", "empty", "abc", "wiki pedia", "-dash"]].concat();
        assert_prints(sum_in(&directory, &arguments), lines);
    }
}

#[test]
fn sums_a_file_longer_than_any_buffer() {
    let data: Vec<u8> = (0..3_000_001u32).map(|i| (i / 7) as u8).collect();
    let directory = files(&[("long", &data)]);
    let line = format!("{:08x}  long\n", definition(&data));
    assert_prints(sum_in(&directory, &["long"]), &line);
}

/// Computes the checksum by its definition.
fn definition(data: &[u8]) -> u32 {
    let (s1, s2) = data.iter().fold((1, 0), |(s1, s2), &byte| {
        let s1 = (s1 + u32::from(byte)) % 65521;
        (s1, (s2 + s1) % 65521)
    });
    s2 << 16 | s1
}

#[test]
fn sums_and_checks_many_files_in_their_order() {
    let directory = tempdir().unwrap();
    let long: Vec<u8> = (0..17_000_000u32).map(|i| (i / 5) as u8).collect();
    let mut names = Vec::new();
    let (mut lines, mut results) = (String::new(), String::new());
    for number in 0..600 {
        let name = format!("{number}");
        // Most files are short, two are summed by all threads, and some do not exist.
        let data = match number {
            100 | 101 => &long,
            _ => &long[..number * 97],
        };
        names.push(name.clone());
        results.push_str(&format!("{name}: OK\n"));
        lines.push_str(&format!("{:08x}  {name}\n", definition(data)));
        fs::write(directory.path().join(&name), data).unwrap();
        if number % 200 == 99 {
            names.push(format!("none{number}"));
        }
    }
    fs::write(directory.path().join("list"), &lines).unwrap();
    let errors = [99, 299, 499]
        .map(|number| format!("adler32: none{number}: No such file or directory\n"))
        .concat();
    for threads in [&[][..], &["--threads", "1"], &["--threads", "3"]] {
        let mut arguments = threads.to_vec();
        arguments.extend(names.iter().map(String::as_str));
        assert_outcome(sum_in(&directory, &arguments), &lines, &errors, 2);
        let arguments = [threads, &["-c", "list"]].concat();
        assert_prints(sum_in(&directory, &arguments), &results);
    }
}

#[test]
fn sums_standard_input() {
    let pieces: [&[u8]; 3] = [b"Wi", b"kiped", b"ia"];
    assert_prints(sum_of(&[], &pieces), "11e60398  -\n");
    assert_prints(sum_of(&["-"], &pieces), "11e60398  -\n");
    assert_prints(sum_of(&["-", "-"], &pieces), "11e60398  -\n00000001  -\n");
    assert_prints(sum_of(&[], &[]), "00000001  -\n");
}

#[test]
fn sums_the_rest_of_standard_input() {
    let directory = files(&[("digits", &b"0123456789".repeat(50_000))]);
    let line = format!("{:08x}  -\n", definition(&b"0123456789".repeat(49_999)));
    let mut file = File::open(directory.path().join("digits")).unwrap();
    file.read_exact(&mut [0; 10]).unwrap();
    let stdin = file.try_clone().unwrap();
    assert_prints(run(adler32().arg("sum").stdin(stdin)), &line);
    // The position is shared with the command.
    assert_eq!(file.stream_position().unwrap(), 500_000);
    let stdin = File::options().write(true).open("/dev/null").unwrap();
    assert_fails(
        run(adler32().arg("sum").stdin(stdin)),
        "adler32: -: Bad file descriptor\n",
    );
}

#[test]
fn sums_fifos() {
    let directory = tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let path = fifo.clone();
    let writer = thread::spawn(move || fs::write(path, "Wikipedia"));
    assert_prints(sum_in(&directory, &["fifo"]), "11e60398  fifo\n");
    writer.join().unwrap().unwrap();
}

#[test]
fn continues_after_a_bad_file() {
    let directory = files(&[("a", b"a"), ("abc", b"abc")]);
    fs::create_dir(directory.path().join("directory")).unwrap();
    assert_outcome(
        sum_in(
            &directory,
            &["a", "none", "directory", "a/b", "/proc/self/mem", "abc"],
        ),
        "00620062  a\n024d0127  abc\n",
        "adler32: none: No such file or directory\n\
             adler32: directory: Is a directory\n\
             adler32: a/b: Not a directory\n\
             adler32: /proc/self/mem: Input/output error\n",
        2,
    );
}

#[test]
fn a_file_gets_lines_and_errors_in_order() {
    let directory = files(&[("a", b"a"), ("b", b"abc")]);
    let path = directory.path().join("log");
    let log = File::create(&path).unwrap();
    let status = adler32()
        .args(["sum", "a", "none", "b"])
        .current_dir(&directory)
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .status()
        .expect("the command runs");
    assert_eq!(status.code(), Some(2));
    assert_eq!(
        fs::read_to_string(path).unwrap(),
        "00620062  a\nadler32: none: No such file or directory\n024d0127  b\n"
    );
}

#[test]
fn escapes_names_as_coreutils_does() {
    let directory = files(&[
        ("new\nline", b"a"),
        ("back\\slash", b"a"),
        ("return\r", b"a"),
        ("tab\t", b"a"),
    ]);
    assert_outcome(
        sum_in(
            &directory,
            &["new\nline", "back\\slash", "return\r", "tab\t", "no\n"],
        ),
        "\\00620062  new\\nline\n\\00620062  back\\\\slash\n\\00620062  return\\r\n\
             00620062  tab\t\n",
        "adler32: 'no'$'\\n': No such file or directory\n",
        2,
    );
}

#[test]
fn prints_names_byte_for_byte() {
    let directory = tempdir().unwrap();
    let name = OsStr::from_bytes(b"\xff\xfe");
    fs::write(directory.path().join(name), "a").unwrap();
    let output = adler32()
        .arg("sum")
        .arg(name)
        .current_dir(&directory)
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"00620062  \xff\xfe\n");
}

#[test]
fn is_adler32sum_under_that_name() {
    let (_directory, mut sum) = adler32sum();
    assert_outcome(
        run(sum.args(["-b", "none", "/dev/null"])),
        "00000001 */dev/null\n",
        "adler32sum: none: No such file or directory\n",
        1,
    );
    let (_directory, mut sum) = adler32sum();
    let version = concat!("adler32sum ", env!("CARGO_PKG_VERSION"), "\n");
    assert_prints(run(sum.arg("--version")), version);
    let (_directory, mut sum) = adler32sum();
    let wrong = "adler32sum: the --quiet option is meaningful only when verifying checksums\n\
                 Try 'adler32sum --help' for more information.\n";
    assert_outcome(run(sum.arg("--quiet")), "", wrong, 1);
}

#[test]
fn reads_and_prints_lines_of_xrdadler32() {
    let directory = files(&[
        ("abcde", b"abcde"),
        ("a b", b"a"),
        ("list", b"05c801f0 abcde\n00620062 a b\n"),
    ]);
    let sum = |arguments: &[&str]| sum_in(&directory, arguments);
    assert_prints(
        sum(&["--xrootd", "abcde", "a b"]),
        "05c801f0 abcde\n00620062 a b\n",
    );
    assert_prints(sum(&["-c", "list"]), "abcde: OK\na b: OK\n");
    for (arguments, wrong) in [
        (
            &["--xrootd", "-c"][..],
            "the --xrootd option is meaningless when verifying checksums",
        ),
        (
            &["--xrootd", "--tag"],
            "--xrootd does not support --tag, --binary or --text",
        ),
        (
            &["-t", "--xrootd"],
            "--xrootd does not support --tag, --binary or --text",
        ),
    ] {
        assert_refused(sum(arguments), "adler32 sum", wrong);
    }
}

#[test]
fn prints_json() {
    let directory = files(&[("abcde", b"abcde"), ("\"\n\u{e9}", b"")]);
    let sum = |arguments: &[&str]| sum_in(&directory, arguments);
    let ways = format!(r#""ways":{{"{}":5}}"#, way_of_cached(&directory));
    let lines = [
        &*format!(r#"{{"adler32":"05c801f0","backend":"cpu","file":"abcde","length":5,{ways}}}"#),
        r#"{"adler32":"00000001","backend":"cpu","file":"\"\né","length":0,"ways":{}}"#,
        "",
    ];
    assert_outcome(
        sum(&["--json", "abcde", "none", "\"\n\u{e9}"]),
        &lines.join("\n"),
        "adler32: none: No such file or directory\n",
        2,
    );
    for (arguments, wrong) in [
        (
            &["--json", "-c"][..],
            "the --json option is meaningless when verifying checksums",
        ),
        (
            &["--json", "-z"],
            "--json does not support --tag, --xrootd, --binary, --text or --zero",
        ),
    ] {
        assert_refused(sum(arguments), "adler32 sum", wrong);
    }
}

/// Runs `adler32 combine ARGUMENTS` with parts on the standard input.
fn combine(arguments: &[&str], parts: &str) -> Outcome {
    let mut command = adler32();
    feed(command.arg("combine").args(arguments), &[parts.as_bytes()])
}

#[test]
fn parts_make_the_whole() {
    let long: Vec<u8> = (0..40_000_003u32).map(|i| (i / 5) as u8).collect();
    let directory = files(&[("long", &long), ("new\nline", b"abcde"), ("empty", b"")]);
    let sum = |arguments: &[&str]| sum_in(&directory, arguments);
    let (mut lines, mut json) = (String::new(), String::new());
    for range in ["20000000:20000000", "40000000:20000000", "0:20000000"] {
        let part = sum(&["--range", range, "long", "empty"]);
        lines += &part.stdout;
        if range == "0:20000000" {
            let first = definition(&long[..20_000_000]);
            let first = format!("{first:08x}  0:20000000/40000003  long\n00000001  0:0/0  empty\n");
            assert_prints(part, &first);
        } else {
            let start = range.split(':').next().unwrap();
            let error =
                format!("adler32: empty: the range begins at {start}, after the end at 0\n");
            assert_eq!((&*part.stderr, part.status), (&*error, Some(2)));
        }
        json += &sum(&["--json", "--range", range, "long"]).stdout;
    }
    lines += &sum(&["--range", "2:9", "new\nline"]).stdout;
    lines += &sum(&[
        "--range",
        "0:2",
        "--via",
        "cpu",
        "--threads",
        "1",
        "new\nline",
    ])
    .stdout;
    let whole = definition(&long);
    assert_prints(
        combine(&[], &lines),
        &format!("00000001  empty\n{whole:08x}  long\n\\05c801f0  new\\nline\n"),
    );
    let object = format!(r#"{{"adler32":"{whole:08x}","file":"long","length":40000003}}"#);
    assert_prints(combine(&["--json"], &json), &format!("{object}\n"));
    let (_, of_one) = lines.split_once("\\").unwrap();
    assert_fails(
        combine(&[], &format!("\\{}", of_one.lines().next().unwrap())),
        "adler32: 'new'$'\\n''line': no part has 0:2; sum it by --range 0:2\n",
    );
}

#[test]
fn a_part_on_each_backend() {
    let directory = files(&[("digits", b"0123456789")]);
    let line = format!("{:08x}  3:4/10  digits\n", definition(b"3456"));
    for kind in BackendKind::ALL
        .into_iter()
        .filter(|kind| Backend::open(*kind).is_ok())
    {
        let arguments = ["--via", kind.name(), "--range", "3:4", "digits"];
        assert_prints(sum_in(&directory, &arguments), &line);
    }
}

#[test]
fn combines_nothing_but_parts() {
    for (parts, errors) in [
        ("", "adler32: no parts of files on the standard input\n"),
        (
            "00000001  0:0/0  a\n00000001  a\n00000001  1:0/0  a\n",
            "adler32: line 2 is not a part of a file, as sum --range prints it\n\
             adler32: line 3 is a part that ends after its file\n",
        ),
    ] {
        assert_fails(combine(&[], parts), errors);
    }
    // The checksums of other files are printed although the parts of one file are wrong.
    assert_outcome(
        combine(&[], "00000001  0:0/0  b\n00620062  0:1/2  a\n"),
        "00000001  b\n",
        "adler32: a: no part has 1:1; sum it by --range 1:1\n",
        2,
    );
    let directory = tempdir().unwrap();
    let stdin = File::open(&directory).unwrap();
    assert_fails(
        run(adler32().arg("combine").stdin(stdin)),
        "adler32: standard input: Is a directory\n",
    );
}

#[test]
fn refuses_wrong_ranges() {
    let directory = files(&[("a", b"a")]);
    for range in [
        "1",
        ":",
        "1:",
        ":1",
        "1:-1",
        "a:1",
        "1:18446744073709551616",
    ] {
        let wrong = format!(
            "invalid value '{range}' for '--range <OFF:LEN>': not two numbers of bytes \
             with a colon between them"
        );
        let sum = sum_in(&directory, &["--range", range, "a"]);
        assert_refused(sum, "adler32 sum", &wrong);
    }
    assert_fails(
        sum_in("/", &["--range", "0:0", "dev"]),
        "adler32: dev: Is a directory\n",
    );
    let unknown = "has no ranges, as its size is not known; sum it without --range";
    assert_fails(
        sum_of(&["--range", "0:1"], &[b"a"]),
        &format!("adler32: -: {unknown}\n"),
    );
    for file in ["/dev/zero", "/proc/self/cmdline", "/proc/version"] {
        assert_fails(
            sum_of(&["--range", "0:1", file], &[]),
            &format!("adler32: {file}: {unknown}\n"),
        );
    }
    // A file of sysfs contains less than the page that it reports as its size.
    let file = "/sys/devices/system/cpu/online";
    let length = fs::read(file).unwrap().len();
    assert_fails(
        sum_of(&["--range", "1:9999", file], &[]),
        &format!(
            "adler32: {file}: ends at {length}, but its size was 4096; \
                 sum it again, or without --range\n"
        ),
    );
    for (with, wrong) in [
        (
            "-c",
            "the --range option is meaningless when verifying checksums",
        ),
        (
            "-z",
            "--range does not support --tag, --xrootd, --binary, --text or --zero",
        ),
    ] {
        assert_refused(
            sum_in(&directory, &[with, "--range", "0:1", "a"]),
            "adler32 sum",
            wrong,
        );
    }
}

#[test]
fn refuses_wrong_numbers_of_threads() {
    for number in ["0", "x", "1001", "18446744073709551616"] {
        let wrong = format!(
            "invalid value '{number}' for '--threads <NUMBER>': not a number of threads, \
             from 1 to 1000"
        );
        let sum = sum_of(&["--threads", number, "/dev/null"], &[]);
        assert_refused(sum, "adler32 sum", &wrong);
    }
    let sum = sum_of(&["--threads", "1000", "/dev/null"], &[]);
    assert_prints(sum, "00000001  /dev/null\n");
}

#[test]
fn debug_reports_the_backends() {
    let directory = files(&[("a", b"a")]);
    let sum = sum_in(&directory, &["--debug", "a"]);
    assert_eq!((&*sum.stdout, sum.status), ("00620062  a\n", Some(0)));
    let lines: Vec<&str> = sum.stderr.lines().collect();
    let used = format!("adler32: used: cpu, {}", processor::fastest().name());
    let device = |name| match Session::open() {
        Ok(_) if name == "device" => {
            "adler32: used for long files in the page cache: device".to_owned()
        }
        Ok(_) => format!("adler32: not used: {name}: available; --via {name} selects it"),
        Err(error) => format!("adler32: not used: {name}: {}", Diagnosis::of(error)),
    };
    assert_eq!(lines[..3], [used, device("device"), device("ioctl")]);
    assert!(
        lines[3].starts_with("adler32: not used: afalg: "),
        "{lines:?}"
    );
    let way = way_of_cached(&directory);
    assert_eq!(lines[4..], [format!("adler32: a: {way} 1")]);
}

#[test]
fn sums_directories_in_the_order_of_names() {
    let directory = files(&[("b", b"abc"), ("a", b"a")]);
    let path = directory.path();
    fs::create_dir_all(path.join("d/e")).unwrap();
    for name in ["d/e/z", "d/e.", "d/a", "d/B"] {
        fs::write(path.join(name), "a").unwrap();
    }
    symlink("a", path.join("d/link")).unwrap();
    symlink("d", path.join("to-d")).unwrap();
    unistd::mkfifo(&path.join("d/fifo"), Mode::S_IRWXU).unwrap();
    let lines = |directory: &str| {
        let names = ["B", "a", "e/z", "e."];
        names
            .map(|name| format!("00620062  {directory}/{name}\n"))
            .concat()
    };
    assert_outcome(
        sum_in(path, &["-r", "b", "d", "none", "to-d", "a"]),
        &format!("024d0127  b\n{}{}00620062  a\n", lines("d"), lines("to-d")),
        "adler32: none: No such file or directory\n",
        2,
    );
    assert_fails(sum_in(path, &["d"]), "adler32: d: Is a directory\n");
    let wrong = "the --recursive option is meaningless when verifying checksums";
    assert_refused(sum_in(path, &["-rc", "b"]), "adler32 sum", wrong);
}

#[test]
fn checks_on_any_backend() {
    let directory = files(&[("a", b"a"), ("list", b"00620062  a\n")]);
    for backend in ["auto", "cpu"] {
        assert_prints(
            sum_in(&directory, &["--via", backend, "-c", "list"]),
            "a: OK\n",
        );
    }
}

#[test]
fn an_interrupt_leaves_whole_lines() {
    let directory = files(&[("a", b"a")]);
    unistd::mkfifo(&directory.path().join("fifo"), Mode::S_IRWXU).unwrap();
    // A shell that starts the tests in the background makes them ignore the signal.
    let mut child = Command::new("env")
        .args(["--default-signal=INT", env!("CARGO_BIN_EXE_adler32")])
        .args(["sum", "a", "a", "fifo", "a"])
        .current_dir(&directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command runs");
    let mut stdout = child.stdout.take().expect("a pipe");
    // Both lines are printed while the command waits for a writer of the FIFO.
    let mut lines = [0; "00620062  a\n00620062  a\n".len()];
    stdout.read_exact(&mut lines).expect("lines");
    assert_eq!(&lines, b"00620062  a\n00620062  a\n");
    signal::kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("a child");
    assert_eq!(
        child.wait().expect("it ends").signal(),
        Some(Signal::SIGINT as i32)
    );
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).expect("the end");
    assert_eq!(rest, b"");
}

#[test]
fn long_work_does_not_delay_lines_of_a_file() {
    let directory = files(&[("a", b"a")]);
    unistd::mkfifo(&directory.path().join("fifo"), Mode::S_IRWXU).unwrap();
    let path = directory.path().join("log");
    let mut child = adler32()
        .args(["sum", "a", "a", "fifo"])
        .current_dir(&directory)
        .stdout(File::create(&path).unwrap())
        .spawn()
        .expect("the command runs");
    // The command opens the FIFO after it has written the lines.
    let mut fifo = File::create(directory.path().join("fifo")).expect("a fifo");
    let printed = fs::read_to_string(&path).unwrap();
    fifo.write_all(b"abc").unwrap();
    drop(fifo);
    assert!(child.wait().expect("it ends").success());
    assert_eq!(printed, "00620062  a\n00620062  a\n");
    assert_eq!(
        fs::read_to_string(path).unwrap(),
        "00620062  a\n00620062  a\n024d0127  fifo\n"
    );
}

#[test]
fn long_work_shows_a_bar_on_a_terminal() {
    let terminal = pty::openpty(None, None).unwrap();
    let mut child = adler32()
        // No bar appears on a terminal without capabilities.
        .env("TERM", "xterm")
        .args(["sum", "none", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(terminal.slave)
        .spawn()
        .expect("the command runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(&[0; 1024 * 1024]).unwrap();
    let (shown, screen) = mpsc::channel();
    let mut master = File::from(terminal.master);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        // Reading fails when the terminal is no longer open on the other side.
        while let Ok(len @ 1..) = master.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
            let _ = shown.send(text);
        }
    });
    let mut text = String::new();
    while !text.contains("1.00 MiB, ") || !text.contains("/s, read") {
        text += &screen
            .recv_timeout(Duration::from_secs(20))
            .unwrap_or_else(|_| panic!("no bar: {text:?}"));
    }
    drop(stdin);
    let output = child.wait_with_output().expect("the command ends");
    assert_eq!(output.stdout, b"00f00001  -\n");
    text.extend(screen);
    let error = "adler32: none: No such file or directory\r\n";
    assert!(text.contains(error), "{text:?}");
    // The bar is cleared at the end.
    assert!(text.ends_with("\r\x1b[2K"), "{text:?}");
}

#[test]
fn no_bar_appears_while_a_user_types() {
    let terminal = pty::openpty(None, None).unwrap();
    let mut child = adler32()
        .env("TERM", "xterm")
        .arg("sum")
        .stdin(terminal.slave.try_clone().unwrap())
        .stdout(Stdio::piped())
        .stderr(terminal.slave)
        .spawn()
        .expect("the command runs");
    let mut master = File::from(terminal.master);
    master.write_all(b"abc").unwrap();
    // Otherwise, a bar would appear after a second.
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(child.try_wait().unwrap(), None);
    // The first Control-D ends the line, and the second one the file.
    master.write_all(b"\x04\x04").unwrap();
    let output = child.wait_with_output().expect("the command ends");
    assert_eq!(output.stdout, b"024d0127  -\n");
    let mut echo = [0; 4096];
    let len = master.read(&mut echo).expect("an echo");
    assert_eq!(&echo[..len], b"abc");
}

#[test]
fn a_list_that_is_typed_ends_once() {
    let directory = files(&[("a", b"a")]);
    let terminal = pty::openpty(None, None).unwrap();
    let mut child = adler32()
        .args(["sum", "--threads", "3", "-c"])
        .current_dir(&directory)
        .stdin(terminal.slave)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command runs");
    let mut master = File::from(terminal.master);
    // The last byte is Control-D.
    master.write_all(b"00620062  a\n\x04").unwrap();
    let mut stdout = child.stdout.take().expect("a pipe");
    let text = soon(move || io::read_to_string(&mut stdout).expect("text"));
    child.kill().expect("a child");
    child.wait().expect("it ends");
    assert_eq!(text.as_deref(), Some("a: OK\n"));
}

#[test]
fn reports_a_file_before_the_list_ends() {
    let directory = files(&[("a", b"a")]);
    let mut child = adler32()
        .args(["sum", "-c"])
        .current_dir(&directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command runs");
    let mut list = child.stdin.take().expect("a pipe");
    let mut stdout = child.stdout.take().expect("a pipe");
    list.write_all(b"00620062  a\n").unwrap();
    let line = soon(move || {
        let mut line = [0; "a: OK\n".len()];
        stdout.read_exact(&mut line).expect("a line");
        line
    });
    drop(list);
    assert!(child.wait().expect("it ends").success());
    assert_eq!(line.as_ref(), Some(b"a: OK\n"));
}

#[test]
fn every_backend_sums_or_reports_why_not() {
    for kind in BackendKind::ALL {
        let sum = sum_of(&["--via", kind.name()], &[b"abc"]);
        match Backend::open(kind).map_err(Diagnosis::of) {
            Ok(_) => assert_prints(sum, "024d0127  -\n"),
            Err(diagnosis) if kind == BackendKind::AfAlg => {
                let other = Backend::first().kind();
                let error = format!("adler32: {diagnosis} (used instead: {other})\n");
                assert_outcome(sum, "024d0127  -\n", &error, 0);
            }
            Err(diagnosis) => {
                assert_fails(sum, &format!("adler32: {diagnosis}\n"));
            }
        }
    }
}

/// Returns the exit status of `info` if its output cannot be written.
fn info_status() -> i32 {
    match run(adler32().arg("info")).status {
        Some(0) => 2,
        _ => 1,
    }
}

#[test]
fn reports_a_failed_write() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    for (command, status) in [("sum", 2), ("info", info_status())] {
        let full = run(adler32().arg(command).stdout(full.try_clone().unwrap()));
        let error = "adler32: write error: No space left on device\n";
        assert_outcome(full, "", error, status);
    }
}

#[test]
fn reports_closed_files() {
    let command = env!("CARGO_BIN_EXE_adler32");
    for (line, message, status) in [
        ("sum <&-", "-: Bad file descriptor", 2),
        ("sum /dev/null >&-", "write error: Bad file descriptor", 2),
        (
            "info >&-",
            "write error: Bad file descriptor",
            info_status(),
        ),
    ] {
        let line = format!("exec {command} {line}");
        let closed = run(Command::new("sh").args(["-c", &line]));
        assert_outcome(closed, "", &format!("adler32: {message}\n"), status);
    }
}

#[test]
fn is_ended_silently_by_a_closed_pipe() {
    let mut child = adler32()
        .arg("sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the command ends");
    assert_eq!(output.status.signal(), Some(13));
    assert_eq!(output.stderr, b"");
}

#[test]
fn refuses_wrong_usage() {
    let backends =
        "\nValid arguments are:\n  - 'auto'\n  - 'device'\n  - 'ioctl'\n  - 'afalg'\n  - 'cpu'";
    for (arguments, command, message) in [
        (&[][..], "adler32", "a command is missing"),
        (&["sums"], "adler32", "unrecognized command 'sums'"),
        (&["--foo"], "adler32", "unrecognized option '--foo'"),
        (&["info", "file"], "adler32 info", "extra operand 'file'"),
        (&["info", "-x"], "adler32 info", "invalid option -- 'x'"),
        (&["sum", "-y"], "adler32 sum", "invalid option -- 'y'"),
        (
            &["sum", "--st"],
            "adler32 sum",
            "option '--st' is ambiguous; possibilities: '--status' '--strict'",
        ),
        (
            &["sum", "--via"],
            "adler32 sum",
            "option '--via' requires an argument",
        ),
        (
            &["sum", "--via", "gpu"],
            "adler32 sum",
            &format!("invalid argument 'gpu' for '--via'{backends}"),
        ),
    ] {
        assert_refused(run(adler32().args(arguments)), command, message);
    }
}

#[test]
fn help_and_version() {
    for (arguments, text) in [
        (&["--help"][..], "info"),
        (&["help", "--help"], "info"),
        (&["help", "-h"], "info"),
        (&["sum", "--help"], "exit status is 0 if all files"),
        (&["combine", "--help"], "in any order"),
        (&["info", "--help"], "exit status is 0 if the device or"),
        (&["bench", "--help"], "exit status is 0 if all checksums"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let help = run(adler32().args(arguments));
        assert_eq!((help.stderr.as_str(), help.status), ("", Some(0)));
        let words: Vec<_> = help.stdout.split_whitespace().collect();
        assert!(words.join(" ").contains(text), "{help:?}");
        let long = help.stdout.lines().find(|line| line.chars().count() > 80);
        assert_eq!(long, None, "a terminal has 80 columns");
    }
}

#[test]
fn info_reports_what_works() {
    let info = run(adler32().args(["info", "--json"]));
    assert_eq!(info.stderr, "");
    let lines = info.stdout.lines().map(serde_json::from_str);
    let findings: Vec<Value> = lines.collect::<Result<_, _>>().expect("lines of JSON");
    let finding = |label: &str| {
        let found = findings.iter().find(|finding| finding["label"] == label);
        found.unwrap_or_else(|| panic!("no {label}: {findings:?}"))
    };
    let assert_found = |label, works, diagnosis: Option<&Diagnosis>| match diagnosis {
        None => assert_eq!(finding(label)["state"], works),
        Some(Diagnosis {
            state, detail, fix, ..
        }) => {
            let fix = (!fix.is_empty()).then(|| fix.join("; "));
            let found = json!({ "label": label, "state": state, "detail": detail, "fix": fix });
            assert_eq!(*finding(label), found);
        }
    };
    let device = Session::open().map_err(Diagnosis::of);
    let af_alg = probe_af_alg();
    assert_found("device", "works", device.as_ref().err());
    assert_found("AF_ALG", "open", af_alg.as_ref().err());
    let loaded = Path::new("/sys/module/adler32").exists();
    assert_eq!(finding("module")["state"] == "loaded", loaded);
    finding("/proc/crypto");
    assert_eq!(finding("adler32 sum")["state"], "works");
    let works = device.is_ok() || af_alg.is_ok();
    assert_eq!(info.status, Some(i32::from(!works)));
}

#[test]
fn info_fits_a_terminal() {
    let json = run(adler32().args(["info", "--json"]));
    let info = run(adler32().arg("info"));
    assert_eq!((&*info.stderr, info.status), ("", json.status));
    assert!(info.stdout.lines().all(|line| line.len() <= 80), "{info:?}");
    for finding in json.stdout.lines() {
        let finding: Value = serde_json::from_str(finding).expect("a line of JSON");
        let text = |key: &str| finding[key].as_str().unwrap_or_default();
        let line = format!("{:<14}{}", text("label"), text("state"));
        assert!(info.stdout.contains(&line), "{finding} is not in {info:?}");
        for step in text("fix").split("; ") {
            assert!(info.stdout.contains(step), "{finding} is not in {info:?}");
        }
    }
}

#[test]
fn names_cannot_control_the_terminal() {
    // Up a line, and delete it, as an escape sequence, a control character and a byte of its own.
    for (name, quoted) in [
        (&b"x\x1b[1A\x1b[2K"[..], r"'x'$'\033''[1A'$'\033''[2K'"),
        ("x\u{9b}1A".as_bytes(), r"'x'$'\302\233''1A'"),
        (b"x\x9b1A", r"'x'$'\233''1A'"),
        (b"back\x08\\slash\n", r"'back'$'\b''\slash'$'\n'"),
        (b"a\ttab\x7f", r"'a'$'\t''tab'$'\177'"),
    ] {
        let directory = tempdir().unwrap();
        let path = OsStr::from_bytes(name);
        fs::write(directory.path().join(path), "a").unwrap();
        let sum = adler32()
            .arg("sum")
            .arg(path)
            .current_dir(&directory)
            .output();
        let line = sum.unwrap().stdout;
        let json = adler32()
            .args(["sum", "--json"])
            .arg(path)
            .current_dir(&directory)
            .output();
        let json = String::from_utf8(json.unwrap().stdout).unwrap();
        assert!(!json.trim_end().contains(char::is_control), "{json:?}");
        for (checksum, result, status) in [("00620062", "OK", 0), ("00000001", "FAILED", 1)] {
            let at = line
                .windows(8)
                .position(|window| window == b"00620062")
                .unwrap();
            let list = [&line[..at], checksum.as_bytes(), &line[at + 8..]].concat();
            fs::write(directory.path().join("list"), list).unwrap();
            let check = sum_in(&directory, &["-c", "list"]);
            assert_eq!(check.stdout, format!("{quoted}: {result}\n"));
            assert_eq!(check.status, Some(status));
        }
    }
}

#[test]
fn lines_of_other_algorithms_are_improperly_formatted() {
    let directory = files(&[("a", b"a"), ("list", b"")]);
    for line in [
        "SHA256 (a) = ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
        "MD5 (a) = 0cc175b9c0f1b6a831c399e269772661",
        "CRC32 (a) = e8b7be43",
        "CRC32 (a) = 00620062",
        "SHA1(a)= 86f7e437faa5a7fce15d1ddcb9eaeaea377667b8",
        "0cc175b9c0f1b6a831c399e269772661  a",
        "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb *a",
        "5f6a8d0fcd8e1e4a  a",
    ] {
        let list = format!("{line}\nADLER32 (a) = 00620062\n");
        fs::write(directory.path().join("list"), list).unwrap();
        for strict in [&[][..], &["--strict"]] {
            let arguments = [strict, &["-c", "-w", "list"]].concat();
            let check = sum_in(&directory, &arguments);
            assert_eq!(check.stdout, "a: OK\n", "{line}");
            assert_eq!(
                check.stderr,
                "adler32: list: 1: improperly formatted ADLER32 checksum line\n\
                 adler32: WARNING: 1 line is improperly formatted\n"
            );
            assert_eq!(check.status == Some(0), strict.is_empty(), "{check:?}");
        }
    }
}

#[test]
fn a_file_may_be_called_like_the_standard_input() {
    let directory = files(&[
        ("-", b"a"),
        ("list", b"00620062  ./-\nADLER32 (./-) = 00620062\n"),
    ]);
    let sum = |arguments: &[&str]| sum_in(&directory, arguments);
    assert_prints(sum(&["./-"]), "00620062  ./-\n");
    assert_prints(sum(&["-c", "list"]), "./-: OK\n./-: OK\n");
    assert_prints(
        sum_of(&["-", "/dev/null"], &[b"abc"]),
        "024d0127  -\n00000001  /dev/null\n",
    );
}

#[test]
fn messages_fit_the_locale() {
    let directory = tempdir().unwrap();
    let message = |locale: &[(&str, &str)]| {
        let mut command = adler32();
        command
            .env_remove("LC_ALL")
            .env_remove("LC_CTYPE")
            .env_remove("LANG");
        command.envs(locale.iter().copied());
        run(command.args(["sum", "é"]).current_dir(&directory)).stderr
    };
    let escaped = "adler32: ''$'\\303\\251': No such file or directory\n";
    for locale in [
        &[][..],
        &[("LC_ALL", "C")],
        &[("LC_ALL", "POSIX"), ("LANG", "C.UTF-8")],
        &[("LC_ALL", ""), ("LC_CTYPE", "C"), ("LANG", "C.UTF-8")],
    ] {
        assert_eq!(message(locale), escaped, "{locale:?}");
    }
    for locale in [
        &[("LC_ALL", "C.UTF-8")][..],
        &[("LANG", "de_DE.utf8")],
        &[("LC_CTYPE", "C.UTF-8"), ("LANG", "C")],
    ] {
        let plain = "adler32: é: No such file or directory\n";
        assert_eq!(message(locale), plain, "{locale:?}");
    }
}

#[test]
fn no_bar_appears_if_results_are_not_printed() {
    let directory = files(&[("list", b"00f00001  fifo\n")]);
    unistd::mkfifo(&directory.path().join("fifo"), Mode::S_IRWXU).unwrap();
    for option in ["--status", "--quiet"] {
        let terminal = pty::openpty(None, None).unwrap();
        let mut child = adler32()
            .env("TERM", "xterm")
            .args(["sum", "-c", option, "list"])
            .current_dir(&directory)
            .stderr(terminal.slave)
            .spawn()
            .expect("the command runs");
        let mut fifo = File::create(directory.path().join("fifo")).expect("a FIFO");
        fifo.write_all(&[0; 1024 * 1024]).unwrap();
        // Otherwise, a bar would appear after a second.
        thread::sleep(Duration::from_millis(1500));
        drop(fifo);
        assert!(child.wait().expect("it ends").success());
        let mut shown = Vec::new();
        // Ends with EIO when the terminal is no longer open for writing.
        let _ = File::from(terminal.master).read_to_end(&mut shown);
        assert_eq!(String::from_utf8_lossy(&shown), "", "{option}");
    }
}

#[test]
fn parts_in_a_list_are_errors() {
    let directory = files(&[("a", b"abcde")]);
    let sum = |arguments: &[&str]| sum_in(&directory, arguments);
    for json in [&[][..], &["--json"]] {
        let arguments = [json, &["--range", "0:3", "a"]].concat();
        fs::write(directory.path().join("list"), sum(&arguments).stdout).unwrap();
        for strict in [&[][..], &["--strict"]] {
            let arguments = [strict, &["-c", "list"]].concat();
            let check = sum(&arguments);
            assert_eq!(check.stdout, "");
            let error = "adler32: list: 1: a part of a file, for 'adler32 combine'\n";
            assert!(check.stderr.starts_with(error), "{check:?}");
            assert_ne!(check.status, Some(0));
        }
    }
}

#[test]
fn checks_lists_of_json() {
    let directory = files(&[("abcde", b"abcde"), ("\"\n\u{e9}", b"")]);
    let sum = |arguments: &[&str]| sum_in(&directory, arguments);
    let list = sum(&["--json", "abcde", "\"\n\u{e9}"]).stdout;
    fs::write(directory.path().join("list"), &list).unwrap();
    assert_prints(sum(&["-c", "list"]), "abcde: OK\n\\\"\\n\u{e9}: OK\n");
    fs::write(directory.path().join("abcde"), "abcdf").unwrap();
    let check = sum(&["-c", "list"]);
    assert_eq!(check.stdout, "abcde: FAILED\n\\\"\\n\u{e9}: OK\n");
    // A wrong length is a mismatch, too.
    let other = list.replace("\"length\":0", "\"length\":1");
    fs::write(directory.path().join("list"), other).unwrap();
    let check = sum(&["-c", "list"]);
    assert_eq!(check.stdout, "abcde: FAILED\n\\\"\\n\u{e9}: FAILED\n");
}

#[test]
fn the_exit_status_separates_wrong_checksums_from_other_failures() {
    let directory = files(&[
        ("a", b"a"),
        ("good", b"00620062  a\n"),
        ("wrong", b"00000001  a\n"),
        ("missing", b"00620062  none\n"),
        ("both", b"00620062  none\n00000001  a\n"),
        ("junk", b"junk\n00620062  a\n"),
        ("no-list", b"junk\n"),
    ]);
    for (arguments, status) in [
        (&["a"][..], 0),
        (&["none"], 2),
        (&["--foo"], 2),
        (&["--quiet", "a"], 2),
        (&["--range", "2:1", "a"], 2),
        (&["-c", "good"], 0),
        (&["-c", "wrong"], 1),
        (&["-c", "missing"], 2),
        (&["-c", "both"], 1),
        (&["-c", "missing", "wrong"], 1),
        (&["-c", "junk"], 0),
        (&["-c", "--strict", "junk"], 2),
        (&["-c", "no-list"], 2),
        (&["-c", "none"], 2),
        (&["-c", "--ignore-missing", "missing"], 2),
        (&["-c", "--status", "wrong"], 1),
    ] {
        let sum = sum_in(&directory, arguments);
        assert_eq!(sum.status, Some(status), "{arguments:?}: {sum:?}");
        let (_link, mut command) = adler32sum();
        let twin = run(command.args(arguments).current_dir(&directory));
        assert_eq!(twin.status, Some(status.min(1)), "{arguments:?}: {twin:?}");
    }
    for (arguments, status) in [
        (&[][..], 2),
        (&["sums"], 2),
        (&["info", "file"], 2),
        (&["bench", "--file", "none"], 2),
        (&["--version"], 0),
    ] {
        let outcome = run(adler32().args(arguments));
        assert_eq!(outcome.status, Some(status), "{arguments:?}: {outcome:?}");
    }
}

#[test]
fn every_command_has_a_short_option_for_help() {
    for arguments in [
        &["-h"][..],
        &["sum", "-h"],
        &["combine", "-h"],
        &["info", "-h"],
    ] {
        let help = run(adler32().args(arguments));
        assert_eq!((help.status, &*help.stderr), (Some(0), ""), "{arguments:?}");
        assert!(help.stdout.contains("Usage: "), "{help:?}");
    }
    // sha256sum has no such option.
    let (_link, mut twin) = adler32sum();
    assert_eq!(run(twin.arg("-h")).status, Some(1));
}

#[test]
fn numbers_of_bench_have_limits() {
    for option in ["--size", "--rounds"] {
        let bench = run(adler32().args(["bench", option, "0"]));
        assert!(bench.stderr.contains("0 is not in 1..=65535"), "{bench:?}");
    }
}
