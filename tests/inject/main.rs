// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Lets each allocation and each copy from or to user space fail, one at a time, of everything that
//! the module is asked to do. Runs as root in a kernel with fault injection; takes the usual arguments
//! of a Rust test program.

mod af_alg;
mod device;
#[path = "../vm/leaks.rs"]
mod leaks;
mod load;
mod points;
#[path = "../vm/support/mod.rs"]
// The tests of the module use the rest.
#[allow(dead_code)]
mod support;

use std::process::ExitCode;

use libtest_mimic::Arguments;
use support::alg;
use support::module;
use support::module::Log;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let mut log = Log::from_now();
    if !arguments.list {
        points::enable();
        alg::restrict(0);
        module::ensure_loaded();
    }
    let trials = [
        load::trials(),
        device::trials(),
        af_alg::trials(),
        leaks::trials(),
    ];
    let conclusion = libtest_mimic::run(&arguments, trials.into_iter().flatten().collect());
    println!("points visited in all: {}", points::visited());
    let complaints: Vec<_> = log
        .lines()
        .into_iter()
        .filter(|line| is_complaint(line))
        .collect();
    if !complaints.is_empty() {
        println!("the kernel's log: {complaints:#?}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

/// Returns whether a line of the kernel's log tells of a defect. That memory is short does not.
fn is_complaint(line: &str) -> bool {
    ["BUG: ", "WARNING: ", "INFO: ", "UBSAN: ", "Oops"]
        .into_iter()
        .any(|beginning| line.starts_with(beginning))
}
