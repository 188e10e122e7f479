// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The programs that `cargo install` installs.

use std::fs;
use std::path::Path;
use std::process::Command;

use adler32::processor;
use tempfile::tempdir;

/// Runs a command that must succeed. Returns its standard output and its standard error.
fn run(command: &mut Command) -> (String, String) {
    let output = command.output().expect("it runs");
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|printed| String::from_utf8(printed).expect("UTF-8"));
    assert!(output.status.success(), "{command:?}: {stderr}");
    (stdout, stderr)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn both_commands_are_installed_and_report_the_backend() {
    if !Path::new(env!("CARGO")).exists() {
        println!("skipped: {} does not exist", env!("CARGO"));
        return;
    }
    let root = tempdir().expect("a directory");
    let package = env!("CARGO_MANIFEST_DIR");
    // The same profile and crates as for these tests, so that nothing is downloaded and little is
    // compiled. The programs go to another directory, because other tests run those of these tests.
    let build = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    let install = [
        "install",
        "--debug",
        "--locked",
        "--offline",
        "--path",
        package,
    ];
    run(Command::new(env!("CARGO"))
        .args(install)
        .args(["--root", text(root.path())])
        .args(["--target-dir", text(&root.path().join("target"))])
        .env("CARGO_BUILD_BUILD_DIR", build.expect("a parent")));

    let bin = root.path().join("bin");
    let file = root.path().join("file");
    fs::write(&file, "Wikipedia").expect("a file");
    let line = format!("11e60398  {}\n", text(&file));
    let backend = processor::fastest().name();
    for (program, sum) in [("adler32", &["sum"][..]), ("adler32sum", &[])] {
        let arguments = [sum, &["--debug", text(&file)]].concat();
        let (stdout, stderr) = run(Command::new(bin.join(program)).args(arguments));
        assert_eq!(stdout, line);
        let used = format!("{program}: used: cpu, {backend}\n");
        assert!(stderr.starts_with(&used), "{stderr}");
    }
}
