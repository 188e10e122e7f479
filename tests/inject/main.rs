// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Makes every call to the module while its allocations, and its copies from and to user space,
//! fail one at a time. Runs as root in a guest with fault injection, and takes the usual arguments
//! of a Rust test program. The lab checks the kernel log.

mod af_alg;
mod device;
mod load;
mod points;

use std::process::ExitCode;

use adler32_tests::alg;
use adler32_tests::leaks;
use adler32_tests::module;
use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
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
    println!(
        "points visited, points of copies twice: {}",
        points::visited()
    );
    conclusion.exit_code()
}
