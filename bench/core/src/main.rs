// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Compares our implementations with those of other libraries, in one process and in turns.

mod break_even;
mod limits;
mod measure;
mod parallel;
mod peers;
mod plot;
mod report;
mod routine;
mod system;
mod vector_state;

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use adler32::algorithm::Runnable;
use adler32::processor;
use adler32::processor::Processor;
use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use bench_common::buffer::Buffer;
use clap::Parser;
use serde::Serialize;

use break_even::BreakEven;
use measure::Effort;
use measure::Measurement;
use measure::OFFSETS;
use measure::SIZES;
use parallel::Parallel;
use report::Bound;
use report::Ratio;
use routine::Calls;
use routine::Level;
use routine::Role;
use routine::Routine;
use system::System;
use vector_state::Cost;

/// Compare the implementations of Adler-32 with those of other libraries.
#[derive(Parser)]
struct Arguments {
    /// Take only a few seconds, to show that everything works; the figures are not reliable
    #[arg(long)]
    quick: bool,
    /// Measure only this length of data, in bytes; can be repeated
    #[arg(long, value_name = "BYTES")]
    size: Vec<usize>,
    /// Measure only the contenders whose names contain this text; can be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Write the results to core.json and core.svg in this directory
    #[arg(long, value_name = "DIRECTORY")]
    output: Option<PathBuf>,
}

/// All results.
#[derive(Serialize)]
struct Results {
    system: System,
    quick: bool,
    figures: Vec<Measurement>,
    ratios: Vec<Ratio>,
    bounds: Vec<Bound>,
    #[serde(flatten)]
    whole: Option<Whole>,
}

/// Results that are measured only without `--size` and `--only`.
#[derive(Serialize)]
struct Whole {
    vector_state: Vec<Cost>,
    break_even: Vec<BreakEven>,
    parallel: Vec<Parallel>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let effort = match arguments.quick {
        true => Effort::QUICK,
        false => Effort::FULL,
    };
    let sizes = match &arguments.size[..] {
        [] => &SIZES[..],
        sizes => sizes,
    };

    let system = System::this()?;
    system.print();
    let mut all = ours();
    all.extend(peers::all());
    all.extend(limits::all(sizes.iter().copied().max().unwrap_or(0)));
    measure::check(&all)?;
    let only = &arguments.only;
    let is_wanted = |name: &str| only.is_empty() || only.iter().any(|only| name.contains(only));
    let routines: Vec<_> = all.iter().filter(|any| is_wanted(&any.name)).collect();
    ensure!(!routines.is_empty(), "no contender has such a name");

    // Before the process is bound to one processor, as its new threads would be, too.
    let whole = arguments.size.is_empty() && only.is_empty();
    let parallel = whole.then(|| parallel::measure(effort)).transpose()?;
    system::pin()?;
    let figures = measure_all(&routines, sizes, effort)?;
    let bounds = report::bounds(&figures);
    report::print_bounds(&bounds);
    let whole = parallel
        .map(|parallel| Whole::measure(&routines, parallel, effort))
        .transpose()?;
    let ratios = report::ratios(&figures);
    report::print_summary(&ratios);

    let results = Results {
        system,
        quick: arguments.quick,
        figures,
        ratios,
        bounds,
        whole,
    };
    arguments
        .output
        .map_or(Ok(()), |directory| results.write(&directory))
}

/// Returns the implementations of this project that the processor can run.
fn ours() -> Vec<Routine> {
    let routine = |runnable: Runnable<Processor>| {
        let level = match runnable.name() {
            "portable" => Level::General,
            "avx2" => Level::Avx2,
            _ => Level::Any,
        };
        let name = format!("adler32 {}", runnable.name());
        Routine::ours(&name, level, move |sum, data| runnable.update(sum, data))
    };
    processor::runnable().map(routine).collect()
}

/// Measures all routines on all data. Prints each table as soon as it is complete.
fn measure_all(routines: &[&Routine], sizes: &[usize], effort: Effort) -> Result<Vec<Measurement>> {
    let largest = sizes.iter().copied().max().unwrap_or(0);
    let buffer = Buffer::random(largest + OFFSETS[OFFSETS.len() - 1]);
    let mut all = Vec::new();
    for offset in OFFSETS {
        for calls in Calls::ALL {
            // Limits return no result for which the next call could wait.
            let is_wanted = |any: &&Routine| calls == Calls::Independent || any.role != Role::Limit;
            let routines: Vec<_> = routines.iter().copied().filter(is_wanted).collect();
            let mut measurements = Vec::new();
            for &bytes in sizes {
                let new = measure::measure(&routines, calls, &buffer, offset, bytes, effort)?;
                measurements.extend(new);
            }
            report::print_measurements(calls, offset, &measurements);
            all.extend(measurements);
        }
    }
    Ok(all)
}

impl Whole {
    /// Measures the vector state and the break-even, and prints them.
    fn measure(routines: &[&Routine], parallel: Vec<Parallel>, effort: Effort) -> Result<Self> {
        parallel::print(&parallel);
        let vector_state = vector_state::costs(effort)?;
        let break_even = break_even::measure(routines, &vector_state, effort)?;
        break_even::print(&vector_state, &break_even);
        Ok(Self {
            vector_state,
            break_even,
            parallel,
        })
    }
}

impl Results {
    fn write(&self, directory: &Path) -> Result<()> {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        bench_common::write_json(&directory.join("core.json"), &serde_json::to_value(self)?)?;
        plot::draw(&self.figures, &directory.join("core.svg"))
    }
}
