// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Performs random operations on the device, on AF_ALG and on the module, and compares the results
//! with those of a model.
//!
//! The program prints each sequence of operations before a process runs it, so that the log names
//! the sequence even if the kernel crashes. `--replay` repeats a sequence and prints each operation
//! first.
//!
//! It runs as root in a virtual machine in which the module is installed.

mod arena;
mod device_steps;
mod hash_steps;
mod model;
mod operation;
mod processes;
mod sequence;
mod world;

use std::collections::BTreeMap;
use std::fs;
use std::process::ExitCode;
use std::time::Instant;
use std::time::SystemTime;

use anyhow::Context;
use anyhow::Result;
use clap::Parser;
use nix::sys::wait;

use adler32_tests::alg;
use adler32_tests::module;
use sequence::Executor;
use sequence::Manner;
use sequence::Running;
use sequence::Sequence;
use sequence::Verdict;

/// Look for sequences of operations after which the module differs from the model.
#[derive(Parser)]
struct Arguments {
    /// Perform at least this many operations
    #[arg(long, value_name = "NUMBER", default_value = "100000")]
    operations: u64,
    /// Start with this sequence and count up [default: the time]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Perform these sequences instead, at the same time
    #[arg(long, value_name = "SEQUENCE", num_args = 1..)]
    #[arg(conflicts_with_all = ["operations", "seed"])]
    replay: Vec<Sequence>,
}

/// The number of processes in the second half.
const PROCESSES: u32 = 4;

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    module::ensure_loaded();
    // Finds the path of the module once for all processes.
    let _ = module::load(module::NAME, "");
    if let Some(level) = alg::restriction().filter(|&level| level > 0) {
        alg::restrict(0);
        println!("crypto.af_alg_restrict is {level}; setting it to 0, to use AF_ALG");
    }
    // A warning of the kernel stops it at once, just after the last sequences that the log names.
    fs::write("/proc/sys/kernel/panic_on_warn", "1").context("cannot set kernel.panic_on_warn")?;

    let executor = Executor::new();
    if !arguments.replay.is_empty() {
        return replay(&executor, arguments.replay);
    }
    let mut campaign = Campaign {
        executor: &executor,
        start: Instant::now(),
        seed: arguments.seed.unwrap_or_else(microseconds_since_1970),
        sequences: 0,
        done: BTreeMap::new(),
    };
    // With one process, the model predicts when the module can be unloaded. With several, calls
    // collide in the kernel.
    let found = match campaign.run(arguments.operations / 2, 1)? {
        None => campaign.run(arguments.operations, PROCESSES)?,
        found => found,
    };
    if let Some(found) = &found {
        found.print(&executor)?;
    }
    campaign.print();
    Ok(match found {
        None if campaign.total() > 0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// Returns a seed such that two runs have no sequence in common.
fn microseconds_since_1970() -> u64 {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    time.map_or(0, |time| time.as_micros() as u64)
}

fn replay(executor: &Executor, sequences: Vec<Sequence>) -> Result<ExitCode> {
    let manner = Manner {
        alone: sequences.len() == 1,
        verbose: true,
    };
    let mut running = Vec::new();
    for (process, sequence) in (0..).zip(sequences) {
        running.push(executor.start(sequence, process, manner)?);
    }
    let mut code = ExitCode::SUCCESS;
    while !running.is_empty() {
        let (_, _, verdict) = next_to_end(&mut running)?;
        if let Some(failure) = verdict.failure {
            println!("FAILED: {failure}");
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// Waits until one of the sequences ends. Returns it, its process number and the verdict.
fn next_to_end(running: &mut Vec<Running>) -> Result<(Sequence, u32, Verdict)> {
    let status = wait::wait().context("cannot wait")?;
    let ended = running
        .iter()
        .position(|running| Some(running.pid) == status.pid())
        .context("an unknown process ended")?;
    let ended = running.swap_remove(ended);
    Ok((ended.sequence.clone(), ended.process, ended.end(status)?))
}

/// Many sequences, from a seed on.
struct Campaign<'a> {
    executor: &'a Executor,
    start: Instant,
    seed: u64,
    sequences: u64,
    done: BTreeMap<String, u64>,
}

/// A sequence that failed.
struct Failed {
    sequence: Sequence,
    /// The sequences that ran at the same time.
    others: Vec<Sequence>,
    failure: String,
}

impl Campaign<'_> {
    /// Runs sequences in processes until there have been `operations` in all, or one has failed.
    fn run(&mut self, operations: u64, processes: u32) -> Result<Option<Failed>> {
        let manner = Manner {
            alone: processes == 1,
            verbose: false,
        };
        let mut running = Vec::new();
        let mut free: Vec<u32> = (0..processes).collect();
        let mut found = None;
        loop {
            let more = found.is_none() && self.total() < operations;
            if let (true, Some(process)) = (more, free.pop()) {
                let sequence = Sequence::of_seed(self.seed.wrapping_add(self.sequences));
                self.sequences += 1;
                println!("process {process}: sequence {sequence}");
                running.push(self.executor.start(sequence, process, manner)?);
                continue;
            }
            if running.is_empty() {
                return Ok(found);
            }
            let (sequence, process, verdict) = next_to_end(&mut running)?;
            free.push(process);
            for (kind, count) in verdict.done {
                *self.done.entry(kind).or_default() += count;
            }
            if let Some(failure) = verdict.failure {
                found.get_or_insert_with(|| Failed {
                    sequence,
                    others: running.iter().map(|other| other.sequence.clone()).collect(),
                    failure,
                });
            }
        }
    }

    fn total(&self) -> u64 {
        self.done.values().sum()
    }

    fn print(&self) {
        let kinds: Vec<_> = self
            .done
            .iter()
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect();
        println!(
            "{} operations in {} sequences in {} s: {}",
            self.total(),
            self.sequences,
            self.start.elapsed().as_secs(),
            kinds.join(", ")
        );
    }
}

impl Failed {
    /// Prints how to reproduce the failure, with as few operations as possible.
    fn print(&self, executor: &Executor) -> Result<()> {
        println!("FAILED: sequence {}: {}", self.sequence, self.failure);
        let all: Vec<_> = [&self.sequence].into_iter().chain(&self.others).collect();
        let all: Vec<_> = all.into_iter().map(Sequence::to_string).collect();
        if executor.failure_alone(&self.sequence)?.is_none() {
            println!("This does not happen each time, or not alone. To try again:");
            println!("test-operations --replay {}", all.join(" "));
            return Ok(());
        }
        let shortest = executor.shrink(self.sequence.clone())?;
        let operations = shortest.operations();
        if operations.is_empty() {
            println!("Now every sequence fails. To reproduce it in a newly started kernel:");
            println!("test-operations --replay {}", all.join(" "));
            return Ok(());
        }
        println!("The operations that are needed for it:");
        for (number, operation) in operations {
            println!("operation {number}, {operation:?}");
        }
        let failure = executor.failure_alone(&shortest)?;
        println!("{}", failure.unwrap_or_default());
        println!("To reproduce it: test-operations --replay {shortest}");
        Ok(())
    }
}
