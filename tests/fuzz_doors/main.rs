// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Does to the device and to AF_ALG whatever chance suggests, and compares what comes of it with a
//! model that knows the answer.
//!
//! To be started as root in a virtual machine with the module installed.

mod arena;
mod device_steps;
mod hash_steps;
mod model;
mod operation;
mod processes;
mod sequence;
#[allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the tests use all of it"
)]
#[path = "../vm/support/mod.rs"]
mod support;
mod world;

use std::collections::BTreeMap;
use std::fs;
use std::panic;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use anyhow::Context;
use anyhow::Result;
use clap::Parser;
use nix::sys::wait;

use sequence::Codes;
use sequence::Setting;
use support::alg;
use support::module;

/// Look for sequences of operations that the doors answer otherwise than they should.
#[derive(Parser)]
struct Arguments {
    /// How many operations to do, about
    #[arg(long, value_name = "NUMBER", default_value = "100000")]
    operations: u64,
    /// What to begin with [default: the time]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// How many processes are at it at a time, in the second half
    #[arg(long, value_name = "NUMBER", default_value = "4")]
    workers: u32,
    /// End after this time, whatever has been done
    #[arg(long, value_name = "NUMBER")]
    seconds: Option<u64>,
    /// Run one sequence, as printed when it failed
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    module::ensure_loaded();
    if let Some(level) = alg::restriction().filter(|&level| level > 0) {
        alg::restrict(0);
        println!("crypto.af_alg_restrict set from {level} to 0, as AF_ALG is to be used, too");
    }
    // Failures come with the sequence; and while it is made shorter, most are of no interest.
    panic::set_hook(Box::new(|_| ()));

    let setting = Setting::new();
    if let Some(path) = &arguments.replay {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let outcome = setting.run_alone(&sequence::parse(&text)?)?;
        return Ok(match outcome.failure {
            Some(failure) => {
                println!("{failure}");
                ExitCode::FAILURE
            }
            None => {
                println!("all answers are right");
                ExitCode::SUCCESS
            }
        });
    }

    let seed = arguments.seed.unwrap_or_else(seconds_since_1970);
    println!("seed {seed}");
    let mut campaign = Campaign {
        setting: &setting,
        start: Instant::now(),
        limit: arguments.seconds.map(Duration::from_secs),
        seed,
        sequences: 0,
        done: BTreeMap::new(),
    };
    // One that is alone knows when the module can be unloaded. Several meet in the middle.
    let found = match campaign.run(arguments.operations / 2, 1)? {
        None => campaign.run(arguments.operations, arguments.workers)?,
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

fn seconds_since_1970() -> u64 {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    time.map_or(0, |time| time.as_secs())
}

/// A number of sequences.
struct Campaign<'a> {
    setting: &'a Setting,
    start: Instant,
    limit: Option<Duration>,
    seed: u64,
    sequences: u64,
    done: BTreeMap<String, u64>,
}

/// A sequence that failed.
struct Found {
    codes: Codes,
    failure: String,
}

impl Campaign<'_> {
    /// Runs so many sequences at a time until there have been so many operations in all.
    fn run(&mut self, operations: u64, workers: u32) -> Result<Option<Found>> {
        let mut running = Vec::new();
        let mut free: Vec<u32> = (0..workers).collect();
        let mut found = None;
        loop {
            let time_left = self.limit.is_none_or(|limit| self.start.elapsed() < limit);
            let more = found.is_none() && time_left && self.total() < operations;
            if let (true, Some(slot)) = (more, free.pop()) {
                let codes = sequence::random(self.seed.wrapping_add(self.sequences));
                self.sequences += 1;
                running.push(self.setting.start(codes, slot, workers == 1)?);
                continue;
            }
            if running.is_empty() {
                return Ok(found);
            }
            let status = wait::wait().context("cannot wait")?;
            let ended = running
                .iter()
                .position(|running| Some(running.pid) == status.pid())
                .context("an unknown process ended")?;
            let running = running.swap_remove(ended);
            free.push(running.slot);
            let codes = running.codes.clone();
            let outcome = running.end(status)?;
            for (kind, count) in outcome.done {
                *self.done.entry(kind).or_default() += count;
            }
            if let Some(failure) = outcome.failure {
                found.get_or_insert(Found { codes, failure });
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
    /// Prints a sequence that fails, as short as possible.
    fn print(&self, setting: &Setting) -> Result<()> {
        println!("FAILED: {}", self.failure);
        if setting.run_alone(&self.codes)?.failure.is_none() {
            println!("only beside others; the sequence, for --replay:");
            print!("{}", sequence::write_down(&self.codes));
            return Ok(());
        }
        let codes = setting.shrink(self.codes.clone())?;
        let failure = setting.run_alone(&codes)?.failure;
        println!("without what is not needed for it, for --replay:");
        print!("{}", sequence::write_down(&codes));
        println!("{}", failure.unwrap_or_default());
        Ok(())
    }
}
