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

use crate::adler32;
use crate::way_of_cached;

/// Returns a command that measures for a short time, in a locale.
fn command(locale: &str) -> Command {
    let mut command = adler32();
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
fn draws_with_characters_of_the_locale() {
    for (locale, mark) in [("C.UTF-8", '█'), ("en_US.utf8", '█'), ("C", '#'), ("", '#')] {
        let output = bench(&[], locale);
        assert!(output.status.success() && output.stderr.is_empty());
        let stdout = text(&output.stdout);
        assert_eq!(stdout.is_ascii(), mark == '#', "{stdout}");
        for title in ["file, 1.00 MiB", "memory, 4.00 KiB", "memory, 1.00 MiB"] {
            let (_, group) = stdout.split_once(title).expect("a title");
            let rows = group.lines().skip(1).take_while(|line| !line.is_empty());
            let columns: Vec<_> = rows.map(|row| row.chars().count()).collect();
            // The longest bar, which is that of the fastest method, fills the line.
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
        // Ends with EIO when the terminal is no longer open for writing.
        let _ = File::from(terminal.master).read_to_end(&mut screen);
        assert!(child.wait().expect("the command ends").success());
        let bars = text(&screen).lines().filter(|line| line.ends_with('#'));
        assert_eq!(bars.map(str::len).max(), Some(columns.into()));
    }
}

#[test]
fn json_contains_all_workloads_and_backends() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("file");
    fs::write(&path, "Wikipedia").expect("a file");
    let output = bench(&["--json", "--file", path.to_str().expect("UTF-8")], "C");
    assert!(output.status.success() && output.stderr.is_empty());
    let report: Value = serde_json::from_str(text(&output.stdout)).expect("JSON");
    let workloads = report["workloads"].as_array().expect("workloads");
    let lengths = workloads.iter().map(|workload| workload["length"].as_u64());
    assert!(lengths.eq([9, 4096, 65536, 1 << 20].map(Some)));
    assert_eq!(workloads[0]["workload"], "file");
    assert_eq!(workloads[0]["adler32"], "11e60398");
    let cpu = workloads[0]["backends"]
        .as_array()
        .expect("backends")
        .iter();
    let mut cpu = cpu.filter(|backend| backend["name"] == "cpu");
    let ways = &cpu.next().expect("a backend")["ways"];
    assert_eq!(ways[way_of_cached(&directory)], 9);
    for workload in workloads {
        let backends = workload["backends"].as_array().expect("backends");
        for name in BackendKind::ALL.map(BackendKind::name) {
            let measured = backends.iter().any(|backend| backend["name"] == name);
            assert_ne!(measured, report["unavailable"][name].is_string(), "{name}");
        }
        for backend in backends {
            let [best, median] = ["best", "median"].map(|rate| backend[rate].as_f64());
            assert!(best >= median && median > Some(0.0), "{backend}");
        }
    }
}

#[test]
fn refuses_files_that_cannot_be_measured() {
    let directory = tempdir().expect("a directory");
    let empty = directory.path().join("empty");
    fs::write(&empty, "").expect("a file");
    let empty = empty.to_str().expect("UTF-8");
    for (file, why) in [
        (empty, "empty"),
        ("/dev/zero", "not a regular file"),
        ("/dev/null/file", "Not a directory"),
    ] {
        let output = bench(&["--file", file], "C");
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(text(&output.stdout), "");
        assert_eq!(text(&output.stderr), format!("adler32: {file}: {why}\n"));
    }
}
