// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Measures our implementations beside those of other libraries, in one process and by turns.

mod buffer;
mod contender;
mod limits;
mod measure;
mod peers;
mod report;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use clap::Parser;
use nix::sched;
use nix::sched::CpuSet;
use nix::unistd::Pid;

use buffer::Buffer;
use contender::Mode;
use measure::Effort;
use measure::OFFSETS;
use measure::SIZES;

/// Measure the implementations of Adler-32 beside those of other libraries.
#[derive(Parser)]
struct Arguments {
    /// Only show that all works, in some seconds; the figures mean little
    #[arg(long)]
    quick: bool,
    /// Only these lengths of data, in bytes
    #[arg(long, value_name = "BYTES")]
    size: Vec<usize>,
    /// Only contenders whose names contain one of these
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let effort = if arguments.quick {
        Effort::QUICK
    } else {
        Effort::FULL
    };
    let sizes = match &arguments.size[..] {
        [] => &SIZES[..],
        sizes => sizes,
    };
    let largest = sizes.iter().copied().max().unwrap_or(0);
    let buffer = Buffer::random(largest + OFFSETS[1]);

    let mut contenders = contender::all(largest);
    measure::check(&contenders)?;
    if !arguments.only.is_empty() {
        contenders.retain(|contender| arguments.only.iter().any(|n| contender.name.contains(n)));
    }
    ensure!(!contenders.is_empty(), "no contender has such a name");

    pin()?;
    let mut all = Vec::new();
    for offset in OFFSETS {
        for mode in Mode::ALL {
            let mut figures = Vec::new();
            for &bytes in sizes {
                figures.extend(measure::measure(
                    &contenders,
                    mode,
                    &buffer,
                    offset,
                    bytes,
                    effort,
                ));
            }
            println!(
                "\n{} calls, data {}: GB/s of the best batch",
                match mode {
                    Mode::Independent => "Independent",
                    Mode::Dependent => "Dependent",
                },
                if offset == 0 {
                    "aligned to 64"
                } else {
                    "at an odd address"
                }
            );
            report::print_table(&figures, sizes);
            report::print_ratios(&report::ratios(&figures), sizes);
            all.extend(figures);
        }
    }
    Ok(())
}

/// Stays on one processor: the last that the process may use, as interrupts prefer the first.
fn pin() -> Result<()> {
    let this = Pid::from_raw(0);
    let allowed = sched::sched_getaffinity(this).context("cannot read the processors allowed")?;
    let last = (0..CpuSet::count())
        .rev()
        .find(|&cpu| allowed.is_set(cpu) == Ok(true))
        .context("no processor is allowed")?;
    let mut one = CpuSet::new();
    one.set(last)?;
    sched::sched_setaffinity(this, &one).with_context(|| format!("cannot stay on processor {last}"))
}
