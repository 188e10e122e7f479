// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Loads, uses and unloads the module many times and checks that nothing is left in the kernel; or
//! uses the module in all ways at the same time.
//!
//! Runs as root in a guest that has the module.

mod stress;
mod traces;

use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;

use adler32_tests::alg;
use adler32_tests::alg::Hash;
use adler32_tests::device;
use adler32_tests::device::Device;
use adler32_tests::module;
use adler32_tests::process;
use adler32_tests::reference;
use traces::Traces;

/// Wear the module out.
#[derive(Parser)]
enum Arguments {
    /// Load, use and unload the module, and check that nothing is left in the kernel
    Cycles {
        /// The number of times
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        number: u32,
    },
    /// Use the module in all ways at the same time
    Stress {
        /// The time in seconds
        seconds: u64,
    },
}

/// How many processes use the module in a cycle. Each is another user.
const USERS: u32 = 4;

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(level) = alg::restriction().filter(|&level| level > 0) {
        alg::restrict(0);
        println!("crypto.af_alg_restrict set from {level} to 0, to use AF_ALG, too");
    }
    let clean = match arguments {
        Arguments::Cycles { number } => endure(number)?,
        Arguments::Stress { seconds } => {
            stress::run(Duration::from_secs(seconds));
            true
        }
    };
    Ok(if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Returns whether nothing was left in the kernel.
fn endure(cycles: u32) -> Result<bool> {
    let start = Instant::now();
    module::ensure_unloaded();
    let half = cycles.div_ceil(2);
    cycle(0);
    let before = Traces::take()?;
    (0..half).for_each(cycle);
    let between = Traces::take()?;
    (0..half).for_each(cycle);
    let after = Traces::take()?;
    println!(
        "{} cycles of loading, use by {USERS} processes and unloading in {} s",
        2 * half,
        start.elapsed().as_secs()
    );
    Ok(traces::compare([&before, &between, &after], half))
}

/// Loads the module, uses it in several processes at the same time, and unloads it.
fn cycle(number: u32) {
    module::ensure_loaded();
    let children: Vec<_> = (0..USERS)
        .map(|user| {
            process::fork(|_| {
                process::set_thread_uids(-1, (300_000 + user).into(), -1);
                use_it(u64::from(number * USERS + user));
            })
        })
        .collect();
    let in_use = device::private();
    let refused = module::try_unload();
    assert_eq!(refused, Err(nix::errno::Errno::EWOULDBLOCK), "in use");
    drop(in_use);
    for child in children {
        child.join();
    }
    module::unload();
    module::assert_absent();
}

fn use_it(seed: u64) {
    let len = 1 + seed as usize * 7919 % 200_000;
    let data = reference::noise(len, seed);
    let expected = device::state_of(&data);
    device::publish(&data);
    assert_eq!(device::slot(), expected, "the slot");
    let file = device::private();
    file.update(&data).expect("UPDATE");
    assert_eq!(file.text(), reference::text(expected.value));
    let operation = Hash::adler32().accept();
    operation.feed(&data[..len / 2]);
    let clone = operation.fork();
    for operation in [operation, clone] {
        let sent = operation.send_vectored(&[std::io::IoSlice::new(&data[len / 2..])]);
        assert_eq!(sent, Ok(len - len / 2), "send");
        assert_eq!(operation.value(), expected.value, "the digest");
    }
}
