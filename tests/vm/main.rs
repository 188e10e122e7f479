// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Tests of the module on a stock kernel. The program runs as root in a virtual machine, which a
//! failure may crash. It takes the usual arguments of a Rust test program.

mod af_alg;
mod compat;
mod files;
mod in_use;
mod info;
mod io_uring;
mod ioctl;
mod kernel_api;
mod lockdown;
mod mappings;
mod memory;
mod metadata;
mod modes;
mod on_demand;
mod pinned;
mod security;
mod sharing;
mod splice;
mod stopping;
mod stream;
mod tools;
mod transfer;
mod unwind;
mod users;
mod writers;

use std::process::ExitCode;

use adler32_tests::alg;
use adler32_tests::leaks;
use adler32_tests::KERNEL;
use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    if !arguments.list {
        println!("{KERNEL}{}", adler32_tests::kernel());
        lift_restriction();
    }
    let trials = [
        on_demand::trials(),
        metadata::trials(),
        in_use::trials(),
        unwind::trials(),
        modes::trials(),
        users::trials(),
        security::trials(),
        sharing::trials(),
        files::trials(),
        splice::trials(),
        stopping::trials(),
        stream::trials(),
        writers::trials(),
        ioctl::trials(),
        io_uring::trials(),
        compat::trials(),
        memory::trials(),
        pinned::trials(),
        mappings::trials(),
        af_alg::trials(),
        kernel_api::trials(),
        tools::trials(),
        info::trials(),
        transfer::trials(),
        // After the tests that may have leaked memory.
        leaks::trials(),
        // Last: no module can be loaded afterwards.
        lockdown::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit_code()
}

/// Allows AF_ALG to use the hash if the kernel restricts it. Tests of the restriction set it again.
fn lift_restriction() {
    if let Some(level) = alg::restriction() {
        println!("crypto.af_alg_restrict is {level}; setting it to 0");
        on_demand::BOOT_RESTRICTION.store(level, std::sync::atomic::Ordering::Relaxed);
        alg::restrict(0);
    }
}
