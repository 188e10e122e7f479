// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Measures our implementations beside those of other libraries, in one process and by turns.

mod break_even;
mod buffer;
mod limits;
mod machine;
mod measure;
mod parallel;
mod peers;
mod plot;
mod report;
mod vector_state;

use std::fs;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use clap::Parser;
use serde::Serialize;

use break_even::BreakEven;
use buffer::Buffer;
use bench_common::contender::Contender;
use bench_common::contender::Mode;
use bench_common::contender::Role;
use machine::Machine;
use measure::Effort;
use measure::Figure;
use measure::OFFSETS;
use measure::SIZES;
use parallel::Parallel;
use report::Bound;
use report::Ratio;
use vector_state::Cost;

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
    /// A folder for the results: core.json and core.svg
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

/// All that is found.
#[derive(Serialize)]
struct Results {
    machine: Machine,
    quick: bool,
    figures: Vec<Figure>,
    ratios: Vec<Ratio>,
    bounds: Vec<Bound>,
    #[serde(flatten)]
    whole: Option<Whole>,
}

/// What is left out where not all is to be measured.
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
    let largest = sizes.iter().copied().max().unwrap_or(0);

    let machine = Machine::this()?;
    machine.print();
    let all = contender::all(largest);
    measure::check(&all)?;
    let contenders: Vec<_> = all
        .iter()
        .filter(|contender| {
            let only = &arguments.only;
            only.is_empty() || only.iter().any(|name| contender.name.contains(name))
        })
        .collect();
    ensure!(!contenders.is_empty(), "no contender has such a name");

    // Before this thread stays on one processor, and so would those that it starts.
    let whole = arguments.size.is_empty() && arguments.only.is_empty();
    let parallel = whole.then(|| parallel::measure(effort)).transpose()?;
    machine::pin()?;
    let figures = figures(&contenders, sizes, effort);
    let bounds = report::bounds(&figures);
    report::print_bounds(&bounds);
    let whole = parallel.map(|parallel| Whole::measure(&contenders, parallel, effort));
    let ratios = report::ratios(&figures);
    report::print_summary(&ratios);

    match arguments.output {
        Some(folder) => Results {
            machine,
            quick: arguments.quick,
            figures,
            ratios,
            bounds,
            whole,
        }
        .write(&folder)
        .with_context(|| format!("cannot write the results to {}", folder.display())),
        None => Ok(()),
    }
}

/// Measures all contenders on all data, and prints the tables as they come.
fn figures(contenders: &[&Contender], sizes: &[usize], effort: Effort) -> Vec<Figure> {
    let largest = sizes.iter().copied().max().unwrap_or(0);
    let buffer = Buffer::random(largest + OFFSETS[OFFSETS.len() - 1]);
    let mut all = Vec::new();
    for offset in OFFSETS {
        for mode in Mode::ALL {
            // The limits have no result that the next call could wait for.
            let contenders: Vec<_> = contenders
                .iter()
                .copied()
                .filter(|contender| mode == Mode::Independent || contender.role != Role::Limit)
                .collect();
            let figures: Vec<_> = sizes
                .iter()
                .flat_map(|&bytes| {
                    measure::measure(&contenders, mode, &buffer, offset, bytes, effort)
                })
                .collect();
            report::print_figures(mode, offset, &figures);
            all.extend(figures);
        }
    }
    all
}

impl Whole {
    fn measure(contenders: &[&Contender], parallel: Vec<Parallel>, effort: Effort) -> Self {
        parallel::print(&parallel);
        let vector_state = vector_state::costs(effort);
        let break_even = break_even::measure(contenders, &vector_state, effort);
        break_even::print(&vector_state, &break_even);
        Self {
            vector_state,
            break_even,
            parallel,
        }
    }
}

impl Results {
    fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        serde_json::to_writer_pretty(File::create(folder.join("core.json"))?, self)?;
        plot::draw(&self.figures, &folder.join("core.svg"))
    }
}
