// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Measures the device beside AF_ALG and beside programs, on the same data in one process.
//!
//! To be started as root in a virtual machine with the module installed, as `make bench-device`
//! does.

mod aims;
mod calls;
mod file;
mod memory;
mod peer;
mod plot;

use std::num::NonZeroU16;
use std::path::PathBuf;

use adler32::Session;
use adler32_tests::alg;
use anyhow::Context;
use anyhow::Result;
use clap::Parser;
use serde_json::json;

use bench_common::contender::Group;

/// Measure the device beside AF_ALG and beside programs.
#[derive(Parser)]
struct Arguments {
    /// The size of the file
    #[arg(long, value_name = "MIB", default_value = "1024")]
    file: NonZeroU16,
    /// The size of the memory
    #[arg(long, value_name = "MIB", default_value = "64")]
    memory: NonZeroU16,
    /// How often to go through the file in each way; through the memory, four times as often
    #[arg(long, value_name = "NUMBER", default_value = "15")]
    rounds: NonZeroU16,
    /// Write the figures to a file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the figures (SVG)
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// What sizes are given in.
const MIB: usize = 1 << 20;
/// How many times as many rounds there are where a pass takes milliseconds: on a machine that has
/// more to do, few of these are left alone.
const SHORT: usize = 4;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    bench_common::modprobe(&["adler32"])?;
    let kernel = bench_common::kernel()?;
    let implementation = Session::open()?.info()?.implementation;
    println!("kernel {kernel}, the module computes with {implementation}");
    let restricted = alg::restriction().filter(|&level| level > 0);
    if let Some(level) = restricted {
        alg::restrict(0);
        println!("crypto.af_alg_restrict set from {level} to 0, as AF_ALG is to be measured, too");
    }

    let [file, memory, rounds] = [arguments.file, arguments.memory, arguments.rounds]
        .map(|number| usize::from(number.get()));
    let groups = [
        memory::measure(memory * MIB, SHORT * rounds)?,
        memory::measure_cached(memory, SHORT * rounds)?,
        file::measure(file * MIB, rounds)?,
        calls::measure(SHORT * rounds)?,
    ];
    let aims = aims::compare(&groups)?;

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
        plot::draw(&kernel, &groups, &path)
            .with_context(|| format!("cannot draw {}", path.display()))?;
    }
    Ok(())
}
