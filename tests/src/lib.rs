// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the tests share: handles on the module, the device, AF_ALG, processes and memory.

pub mod alg;
pub mod device;
pub mod files;
pub mod held;
pub mod leaks;
pub mod memory;
pub mod module;
pub mod pins;
pub mod process;
pub mod reference;
pub mod ring;

use std::fs;
use std::io;
use std::process::Command;
use std::process::Stdio;

use anyhow::ensure;
use anyhow::Context;
use libtest_mimic::Completion;
use libtest_mimic::Failed;
use libtest_mimic::Trial;
use nix::errno::Errno;
use pins::Pins;

/// Defines `trials()`, the list of a theme's tests; `after` names what runs before each of them.
#[macro_export]
macro_rules! trials {
    (after $setup:path: $($test:ident),+ $(,)?) => {
        pub fn trials() -> Vec<libtest_mimic::Trial> {
            let theme = module_path!().rsplit("::").next().unwrap_or_default();
            vec![$($crate::trial(theme, stringify!($test), $setup, $test)),+]
        }
    };
}

/// What a test returns: nothing, or that it cannot run here and why.
pub trait Report {
    fn completion(self) -> Completion;
}

impl Report for () {
    fn completion(self) -> Completion {
        Completion::Completed
    }
}

impl Report for Completion {
    fn completion(self) -> Completion {
        self
    }
}

/// Makes a trial of a test, at the end of which no page may stay pinned.
pub fn trial<R: Report + 'static>(theme: &str, name: &str, setup: fn(), test: fn() -> R) -> Trial {
    Trial::ignorable_test(format!("{theme}::{name}"), move || {
        setup();
        let before = Pins::now().held();
        let completion = test().completion();
        process::eventually("no page stays pinned", || Pins::now().held() == before);
        Ok::<_, Failed>(completion)
    })
}

/// The error number of a system call that is expected to fail.
pub trait ErrnoOf {
    /// Returns the error number, or `UnknownErrno` (0) of a success.
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

/// Runs a command without input and returns its standard output. Fails with all of its output if the
/// command fails.
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

/// Runs a command line in a shell and returns what it printed, both streams; it must succeed.
#[track_caller]
pub fn sh(line: &str) -> String {
    let (success, output) = try_sh(line);
    assert!(success, "`{line}` failed:\n{output}");
    output
}

/// Runs a command line in a shell and returns whether it succeeded and what it printed.
#[track_caller]
pub fn try_sh(line: &str) -> (bool, String) {
    let output = Command::new("bash")
        .args(["-c", &format!("exec 2>&1; {line}")])
        .output()
        .expect("bash runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), text)
}

/// How much memory the system has taken since a test began to look.
pub struct Taken {
    available: i64,
    slab: i64,
    most: i64,
    most_slab: i64,
}

impl Taken {
    pub fn from_now() -> Self {
        Self {
            available: meminfo("MemAvailable"),
            slab: meminfo("Slab"),
            most: 0,
            most_slab: 0,
        }
    }

    pub fn look(&mut self) {
        self.most = self.most.max(self.available - meminfo("MemAvailable"));
        self.most_slab = self.most_slab.max(meminfo("Slab") - self.slab);
    }

    /// Fails if more kibibytes were ever taken, in all or by the kernel's own objects.
    #[track_caller]
    pub fn assert_below(&self, all: i64, slab: i64) {
        let Self {
            most, most_slab, ..
        } = self;
        assert!(*most < all, "{most} KiB of memory were taken");
        assert!(*most_slab < slab, "{most_slab} KiB of slab were taken");
    }
}

/// Returns the kibibytes that a line of /proc/meminfo gives.
pub fn meminfo(key: &str) -> i64 {
    let text = fs::read_to_string("/proc/meminfo").expect("/proc/meminfo");
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or_else(|| panic!("/proc/meminfo has no {key}"))
}
