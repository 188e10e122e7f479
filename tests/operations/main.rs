// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Does to the device and to AF_ALG whatever chance suggests, and compares what comes of it with a
//! model that knows the answer.
//!
//! Each process says which sequence it begins, so that this is known even if the kernel dies of it:
//! `--replay` does the same again, and says each operation before it is done.
//!
//! To be started as root in a virtual machine with the module installed.

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
use sequence::Manner;
use sequence::Outcome;
use sequence::Running;
use sequence::Sequence;
use sequence::Setting;

/// Look for sequences of operations that the backends answer otherwise than they should.
#[derive(Parser)]
struct Arguments {
    /// How many operations to do at least
    #[arg(long, value_name = "NUMBER", default_value = "100000")]
    operations: u64,
    /// The first sequence; the others count on from there [default: the time]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Do these sequences instead, at the same time
    #[arg(long, value_name = "SEQUENCE", num_args = 1.., conflicts_with_all = ["operations", "seed"])]
    replay: Vec<Sequence>,
}

/// How many processes are at it at a time, in the second half.
const PROCESSES: u32 = 4;

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    module::ensure_loaded();
    // This asks a program where the module is, once for all processes.
    let _ = module::load(module::NAME, "");
    if let Some(level) = alg::restriction().filter(|&level| level > 0) {
        alg::restrict(0);
        println!("crypto.af_alg_restrict set from {level} to 0, as AF_ALG is to be used, too");
    }
    // What the kernel's checkers find ends it at once, while it is known which sequences run.
    fs::write("/proc/sys/kernel/panic_on_warn", "1").context("cannot set kernel.panic_on_warn")?;

    let setting = Setting::new();
    if !arguments.replay.is_empty() {
        return replay(&setting, arguments.replay);
    }
    let mut campaign = Campaign {
        setting: &setting,
        start: Instant::now(),
        seed: arguments.seed.unwrap_or_else(microseconds_since_1970),
        sequences: 0,
        done: BTreeMap::new(),
    };
    // One that is alone knows when the module can be unloaded. Several meet in the middle.
    let found = match campaign.run(arguments.operations / 2, 1)? {
        None => campaign.run(arguments.operations, PROCESSES)?,
        found => found,
    };
    if let Some(found) = &found {
        found.print(&setting)?;
    }
    campaign.print();
    Ok(match found {
        None if campaign.total() > 0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// So that two runs have no sequence in common.
fn microseconds_since_1970() -> u64 {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    time.map_or(0, |time| time.as_micros() as u64)
}

fn replay(setting: &Setting, sequences: Vec<Sequence>) -> Result<ExitCode> {
    let manner = Manner {
        alone: sequences.len() == 1,
        told: true,
    };
    let mut running = Vec::new();
    for (slot, sequence) in (0..).zip(sequences) {
        running.push(setting.start(sequence, slot, manner)?);
    }
    let mut code = ExitCode::SUCCESS;
    while !running.is_empty() {
        let (_, _, outcome) = next_to_end(&mut running)?;
        if let Some(failure) = outcome.failure {
            println!("FAILED: {failure}");
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// Waits for one of the sequences to end. Returns it, its slot and what became of it.
fn next_to_end(running: &mut Vec<Running>) -> Result<(Sequence, u32, Outcome)> {
    let status = wait::wait().context("cannot wait")?;
    let ended = running
        .iter()
        .position(|running| Some(running.pid) == status.pid())
        .context("an unknown process ended")?;
    let ended = running.swap_remove(ended);
    Ok((ended.sequence.clone(), ended.slot, ended.end(status)?))
}

/// A number of sequences.
struct Campaign<'a> {
    setting: &'a Setting,
    start: Instant,
    seed: u64,
    sequences: u64,
    done: BTreeMap<String, u64>,
}

/// A sequence that failed.
struct Found {
    sequence: Sequence,
    /// Those that ran meanwhile.
    beside: Vec<Sequence>,
    failure: String,
}

impl Campaign<'_> {
    /// Runs so many sequences at a time until there have been so many operations in all.
    fn run(&mut self, operations: u64, processes: u32) -> Result<Option<Found>> {
        let manner = Manner {
            alone: processes == 1,
            told: false,
        };
        let mut running = Vec::new();
        let mut free: Vec<u32> = (0..processes).collect();
        let mut found = None;
        loop {
            let more = found.is_none() && self.total() < operations;
            if let (true, Some(slot)) = (more, free.pop()) {
                let sequence = Sequence::of_seed(self.seed.wrapping_add(self.sequences));
                self.sequences += 1;
                println!("process {slot}: sequence {sequence}");
                running.push(self.setting.start(sequence, slot, manner)?);
                continue;
            }
            if running.is_empty() {
                return Ok(found);
            }
            let (sequence, slot, outcome) = next_to_end(&mut running)?;
            free.push(slot);
            for (kind, count) in outcome.done {
                *self.done.entry(kind).or_default() += count;
            }
            if let Some(failure) = outcome.failure {
                found.get_or_insert_with(|| Found {
                    sequence,
                    beside: running.iter().map(|other| other.sequence.clone()).collect(),
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

impl Found {
    /// Prints how to see the failure again, with as few operations as possible.
    fn print(&self, setting: &Setting) -> Result<()> {
        println!("FAILED: sequence {}: {}", self.sequence, self.failure);
        let all: Vec<_> = [&self.sequence].into_iter().chain(&self.beside).collect();
        let all: Vec<_> = all.into_iter().map(Sequence::to_string).collect();
        if setting.failure_alone(&self.sequence)?.is_none() {
            println!(
                "not each time, or not alone; to try again: test-operations --replay {}",
                all.join(" ")
            );
            return Ok(());
        }
        let shortest = setting.shrink(self.sequence.clone())?;
        let operations = shortest.operations();
        if operations.is_empty() {
            println!(
                "now whatever is done fails; to see it again, in a kernel just started: \
                 test-operations --replay {}",
                all.join(" ")
            );
            return Ok(());
        }
        println!("without what is not needed for it:");
        for (number, operation) in operations {
            println!("operation {number}, {operation:?}");
        }
        let failure = setting.failure_alone(&shortest)?;
        println!("{}", failure.unwrap_or_default());
        println!("to see it again: test-operations --replay {shortest}");
        Ok(())
    }
}
