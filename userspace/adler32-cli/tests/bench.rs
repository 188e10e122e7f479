// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 bench`, with or without the kernel module.

use std::fs;
use std::fs::File;
use std::io::Read;
use std::process::Command;
use std::process::Output;

use adler32::BackendKind;
use nix::pty;
use nix::pty::Winsize;
use serde_json::Value;
use tempfile::tempdir;

/// The command for a short time, in a locale.
fn command(locale: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adler32"));
    command
        .args(["bench", "--size", "1", "--rounds", "2"])
        .env_remove("LC_CTYPE")
        .env_remove("LANG")
        .env("LC_ALL", locale);
    command
}

fn bench(arguments: &[&str], locale: &str) -> Output {
    let output = command(locale).args(arguments).output();
    output.expect("the command runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn draws_what_the_locale_has() {
    for (locale, mark) in [("C.UTF-8", '█'), ("en_US.utf8", '█'), ("C", '#'), ("", '#')] {
        let output = bench(&[], locale);
        assert!(output.status.success() && output.stderr.is_empty());
        let stdout = text(&output.stdout);
        assert_eq!(stdout.is_ascii(), mark == '#', "{stdout}");
        for title in ["file, 1.00 MiB", "memory, 4.00 KiB", "memory, 1.00 MiB"] {
            let (_, group) = stdout.split_once(title).expect("a title");
            let rows = group.lines().skip(1).take_while(|line| !line.is_empty());
            let columns: Vec<_> = rows.map(|row| row.chars().count()).collect();
            // The fastest has the longest bar, which fills the line.
            assert_eq!(columns.iter().max(), Some(&80), "{group}");
            assert!(group.contains(mark), "{group}");
        }
    }
}

#[test]
fn fills_the_lines_of_a_terminal() {
    for columns in [50, 120] {
        let size = Winsize {
            ws_row: 24,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let terminal = pty::openpty(&size, None).expect("a terminal");
        let mut child = command("C")
            .stdout(terminal.slave)
            .spawn()
            .expect("the command runs");
        let mut screen = Vec::new();
        // Ends by EIO when nobody can write any more.
        let _ = File::from(terminal.master).read_to_end(&mut screen);
        assert!(child.wait().expect("the command ends").success());
        let bars = text(&screen).lines().filter(|line| line.ends_with('#'));
        assert_eq!(bars.map(str::len).max(), Some(columns.into()));
    }
}

#[test]
fn json_has_all_sources_and_backends() {
    let folder = tempdir().expect("a folder");
    let path = folder.path().join("file");
    fs::write(&path, "Wikipedia").expect("a file");
    let output = bench(&["--json", "--file", path.to_str().expect("UTF-8")], "C");
    assert!(output.status.success() && output.stderr.is_empty());
    let report: Value = serde_json::from_str(text(&output.stdout)).expect("JSON");
    let sources = report["sources"].as_array().expect("sources");
    let lengths = sources.iter().map(|source| source["length"].as_u64());
    assert!(lengths.eq([9, 4096, 65536, 1 << 20].map(Some)));
    assert_eq!(sources[0]["source"], "file");
    assert_eq!(sources[0]["adler32"], "11e60398");
    for source in sources {
        let backends = source["backends"].as_array().expect("backends");
        for via in BackendKind::ALL.map(BackendKind::name) {
            let measured = backends.iter().any(|backend| backend["name"] == via);
            assert_ne!(measured, report["closed"][via].is_string(), "{via}");
        }
        for backend in backends {
            let [best, median] = ["best", "median"].map(|rate| backend[rate].as_f64());
            assert!(best >= median && median > Some(0.0), "{backend}");
        }
    }
}

#[test]
fn says_which_files_are_none_to_measure() {
    let folder = tempdir().expect("a folder");
    let empty = folder.path().join("empty");
    fs::write(&empty, "").expect("a file");
    let empty = empty.to_str().expect("UTF-8");
    for (file, why) in [
        (empty, "empty"),
        ("/dev/zero", "not a regular file"),
        ("/dev/null/file", "Not a directory"),
    ] {
        let output = bench(&["--file", file], "C");
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(text(&output.stdout), "");
        assert_eq!(text(&output.stderr), format!("adler32: {file}: {why}\n"));
    }
}
