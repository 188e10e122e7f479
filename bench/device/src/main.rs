// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Compares the device with AF_ALG and with programs, on the same data in one process.
//!
//! Runs as root in a virtual machine in which the module is installed, as started by `make
//! bench-device`.

mod aims;
mod calls;
mod file;
mod memory;
mod peer;

use std::num::NonZeroU16;
use std::path::PathBuf;

use adler32::Session;
use adler32_tests::alg;
use adler32_tests::module;
use aims::AIMS;
use anyhow::Result;
use bench_common::aim;
use bench_common::group::Group;
use bench_common::plot;
use bench_common::MIB;
use clap::Parser;
use serde_json::json;

/// Compare the device with AF_ALG and with programs.
#[derive(Parser)]
struct Arguments {
    /// Size of the file
    #[arg(long, value_name = "MIB", default_value = "1024")]
    file: NonZeroU16,
    /// Size of the memory
    #[arg(long, value_name = "MIB", default_value = "64")]
    memory: NonZeroU16,
    /// Number of passes over the file in each way; memory and calls get four times as many
    #[arg(long, value_name = "NUMBER", default_value = "15")]
    rounds: NonZeroU16,
    /// Write the results to this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw charts to this file (SVG)
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// How many times as many rounds there are for passes of milliseconds. On a busy system, most of
/// these passes are disturbed.
const SHORT: usize = 4;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    module::ensure_loaded();
    let kernel = bench_common::kernel()?;
    let implementation = Session::open()?.info()?.implementation;
    println!("kernel {kernel}, implementation {implementation}");
    let restricted = alg::restriction().filter(|&level| level > 0);
    if let Some(level) = restricted {
        alg::restrict(0);
        println!(
            "crypto.af_alg_restrict is set from {level} to 0, because AF_ALG is measured, too"
        );
    }

    let [file, memory, rounds] = [arguments.file, arguments.memory, arguments.rounds]
        .map(|number| usize::from(number.get()));
    let groups = [
        memory::measure(memory * MIB, SHORT * rounds)?,
        memory::measure_cached(memory, SHORT * rounds)?,
        file::measure(file * MIB, rounds)?,
        calls::measure(SHORT * rounds)?,
    ];
    let aims = aim::compare(&groups, &AIMS)?;

    if let Some(path) = arguments.json {
        let results = json!({
            "kernel": kernel,
            "implementation": implementation,
            "af_alg_restrict_was": restricted,
            "rounds": rounds,
            "groups": groups.each_ref().map(Group::to_json),
            "aims": aims,
        });
        bench_common::write_json(&path, &results)?;
    }
    if let Some(path) = arguments.plot {
        plot::draw(
            &groups.each_ref().map(|group| vec![group.chart(&kernel)]),
            &path,
        )?;
    }
    Ok(())
}
