// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the test programs share: the module, its device and its hash as programs reach them, and
//! the processes, users, memory and rings that use them.
//!
//! A function that returns a `Result` makes a call that a test may expect to fail. The others panic
//! when the kernel refuses something.

pub mod alg;
pub mod device;
pub mod files;
pub mod held;
pub mod leaks;
pub mod memory;
pub mod module;
pub mod process;
pub mod reference;
pub mod ring;
pub mod seccomp;
pub mod usage;

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::process::Stdio;

use anyhow::ensure;
use anyhow::Context;
use libtest_mimic::Completion;
use libtest_mimic::Failed;
use libtest_mimic::Trial;
use nix::errno::Errno;
use nix::sys::utsname;
use usage::Pins;

/// Defines `trials()`, which returns the tests of a file. `after` names a function that runs before
/// each of the tests.
#[macro_export]
macro_rules! trials {
    (after $setup:path: $($test:ident),+ $(,)?) => {
        pub fn trials() -> Vec<libtest_mimic::Trial> {
            let theme = module_path!().rsplit("::").next().unwrap_or_default();
            vec![$($crate::trial(theme, stringify!($test), $setup, $test)),+]
        }
    };
}

/// What a test function returns: `()`, or a [`Completion`] if the test cannot run on every kernel.
pub trait TestResult {
    fn completion(self) -> Completion;
}

impl TestResult for () {
    fn completion(self) -> Completion {
        Completion::Completed
    }
}

impl TestResult for Completion {
    fn completion(self) -> Completion {
        self
    }
}

/// Makes a trial of a test function. The trial fails if pages are still pinned after the test.
pub fn trial<R: TestResult>(
    theme: &str,
    name: &str,
    setup: fn(),
    test: impl FnOnce() -> R + Send + 'static,
) -> Trial {
    Trial::ignorable_test(format!("{theme}::{name}"), move || {
        setup();
        let before = Pins::now().held();
        let completion = test().completion();
        process::eventually("no page is pinned any longer", || {
            Pins::now().held() == before
        });
        Ok::<_, Failed>(completion)
    })
}

/// What a test program prints before [`kernel`].
pub const KERNEL: &str = "kernel: ";

/// Returns the release, the architecture and the page size of the running kernel, as columns of a
/// table.
pub fn kernel() -> String {
    let names = utsname::uname().expect("uname");
    format!(
        "{} | {} | {} KiB",
        names.release().to_string_lossy(),
        names.machine().to_string_lossy(),
        memory::page_size() / 1024
    )
}

/// Results of system calls that are expected to fail.
pub trait ErrnoOf {
    /// Returns the error number, or `UnknownErrno` (0) for a success.
    fn errno(self) -> Errno;
}

impl<T> ErrnoOf for io::Result<T> {
    fn errno(self) -> Errno {
        match self {
            Ok(_) => Errno::UnknownErrno,
            Err(error) => Errno::from_raw(error.raw_os_error().expect("an error of the kernel")),
        }
    }
}

impl<T> ErrnoOf for nix::Result<T> {
    fn errno(self) -> Errno {
        self.err().unwrap_or(Errno::UnknownErrno)
    }
}

/// Runs a command without input and returns its standard output. An error contains all output.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{program} failed ({}):\n{printed}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(printed)
}

/// Runs a command line, which must succeed, and returns what it printed to both streams.
#[track_caller]
pub fn sh(line: &str) -> String {
    let (success, output) = try_sh(line);
    assert!(success, "`{line}` failed:\n{output}");
    output
}

/// Runs a command line and returns whether it succeeded, and what it printed to both streams.
pub fn try_sh(line: &str) -> (bool, String) {
    shell(line, &mut Command::new("bash"))
}

/// Runs a command line as another user. Otherwise the same as [`try_sh`].
pub fn try_sh_as(user: u32, line: &str) -> (bool, String) {
    shell(line, Command::new("bash").uid(user).gid(user))
}

fn shell(line: &str, bash: &mut Command) -> (bool, String) {
    let output = bash.args(["-c", &format!("exec 2>&1; {line}")]).output();
    let output = output.expect("bash starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), text)
}
