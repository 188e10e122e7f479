// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A sequence of operations: running it in a process of its own, making it shorter, writing it down.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::panic;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use fastrand::Rng;
use nix::sys::wait::WaitStatus;
use nix::unistd;
use nix::unistd::ForkResult;
use nix::unistd::Pid;
use serde_json::json;
use serde_json::Value;

use crate::arena::Arena;
use crate::operation::Operation;
use crate::world::Unloads;
use crate::world::World;

/// How many operations a sequence has.
pub const LEN: usize = 500;
/// How long it may take, in seconds, before it counts as stuck.
const PATIENCE: u32 = 120;
/// How long to make it shorter.
const SHRINKING: Duration = Duration::from_secs(120);
/// The first of the users that sequences are.
const FIRST_USER: u32 = 200_000;

/// The codes of its operations.
pub type Codes = Vec<u64>;

pub fn random(seed: u64) -> Codes {
    let mut rng = Rng::with_seed(seed);
    (0..LEN).map(|_| rng.u64(..)).collect()
}

/// What became of a sequence.
pub struct Outcome {
    /// How many operations of each kind were done.
    pub done: BTreeMap<String, u64>,
    pub failure: Option<String>,
}

/// A sequence that is run by a process.
pub struct Running {
    pub pid: Pid,
    pub slot: u32,
    pub codes: Codes,
    report: File,
}

/// What all sequences use.
pub struct Setting {
    pub arena: Arena,
    pub unloads: &'static Unloads,
}

impl Setting {
    pub fn new() -> Self {
        Self {
            arena: Arena::new(),
            unloads: Unloads::shared(),
        }
    }

    /// Starts a sequence. Those that run at the same time must have different slots.
    pub fn start(&self, codes: Codes, slot: u32, alone: bool) -> Result<Running> {
        let (reader, writer) = unistd::pipe().context("cannot make a pipe")?;
        // SAFETY: There is one thread.
        match unsafe { unistd::fork() }.context("cannot fork")? {
            ForkResult::Parent { child } => Ok(Running {
                pid: child,
                slot,
                codes,
                report: reader.into(),
            }),
            ForkResult::Child => {
                drop(reader);
                self.run(&codes, slot, alone, writer);
                // SAFETY: The call does not return.
                unsafe { libc::_exit(0) }
            }
        }
    }

    fn run(&self, codes: &[u64], slot: u32, alone: bool, writer: OwnedFd) {
        // SAFETY: The call takes no pointers.
        unsafe { libc::alarm(PATIENCE) };
        self.arena.take();
        let users = [0, 1].map(|number| FIRST_USER + 2 * slot + number);
        let mut done = BTreeMap::<_, u64>::new();
        let mut doing = String::new();
        let result = panic::catch_unwind(AssertUnwindSafe(|| {
            let mut world = World::new(&self.arena, self.unloads, users, alone);
            for (number, &code) in codes.iter().enumerate() {
                let operation = Operation::from_code(code);
                let kind = operation.kind();
                doing = format!("operation {number}, {operation:?}");
                if world.step(operation) {
                    *done.entry(kind).or_default() += 1;
                }
            }
            doing = "at the end".to_owned();
            world.finish();
        }));
        let failure = result
            .err()
            .map(|payload| format!("{doing}: {}", message(&*payload)));
        let report = json!({ "done": done, "failure": failure }).to_string();
        // A report that does not arrive counts as a failure.
        let _ = File::from(writer).write_all(report.as_bytes());
    }

    /// Runs a sequence with nobody else about.
    pub fn run_alone(&self, codes: &[u64]) -> Result<Outcome> {
        let running = self.start(codes.to_vec(), 0, true)?;
        let status = nix::sys::wait::waitpid(running.pid, None).context("cannot wait")?;
        running.end(status)
    }

    /// Leaves out operations of a failing sequence as long as it fails without them.
    pub fn shrink(&self, codes: Codes) -> Result<Codes> {
        let start = Instant::now();
        shrink(codes, |codes| {
            Ok(start.elapsed() < SHRINKING && self.run_alone(codes)?.failure.is_some())
        })
    }
}

impl Running {
    /// Takes the outcome of a sequence whose process has ended.
    pub fn end(mut self, status: WaitStatus) -> Result<Outcome> {
        let mut report = String::new();
        self.report
            .read_to_string(&mut report)
            .context("cannot read a report")?;
        if !matches!(status, WaitStatus::Exited(_, 0)) || report.is_empty() {
            return Ok(Outcome {
                done: BTreeMap::new(),
                failure: Some(format!("the process ended by {status:?}")),
            });
        }
        let mut report: Value = serde_json::from_str(&report).context("cannot parse a report")?;
        Ok(Outcome {
            done: serde_json::from_value(report["done"].take()).context("cannot parse a report")?,
            failure: report["failure"].as_str().map(str::to_owned),
        })
    }
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let string = payload.downcast_ref::<String>().map(String::as_str);
    string
        .or_else(|| payload.downcast_ref().copied())
        .unwrap_or("a panic")
}

/// Leaves out pieces, first large ones and then single ones, as long as it `fails` without them.
fn shrink(mut codes: Codes, fails: impl Fn(&[u64]) -> Result<bool>) -> Result<Codes> {
    let mut size = codes.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        let before = codes.len();
        while start < codes.len() {
            let end = (start + size).min(codes.len());
            let rest = [&codes[..start], &codes[end..]].concat();
            if fails(&rest)? {
                codes = rest;
            } else {
                start = end;
            }
        }
        // Single ones may have become superfluous by the last that were left out.
        if size > 1 || codes.len() == before {
            size /= 2;
        }
    }
    Ok(codes)
}

/// Writes a sequence in the form that [`parse`] reads.
pub fn write_down(codes: &[u64]) -> String {
    codes
        .iter()
        .map(|&code| format!("{code:016x}  {:?}\n", Operation::from_code(code)))
        .collect()
}

pub fn parse(text: &str) -> Result<Codes> {
    text.lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(|word| {
            u64::from_str_radix(word, 16).with_context(|| format!("not an operation: {word}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_to_fail_remains() {
        let codes = (0..100).collect();
        let fails = |codes: &[u64]| Ok([17, 18, 80].iter().all(|code| codes.contains(code)));
        assert_eq!(shrink(codes, fails).expect("shrinks"), [17, 18, 80]);
    }

    #[test]
    fn what_fails_always_becomes_empty() {
        let shrunk = shrink((0..7).collect(), |_| Ok(true)).expect("shrinks");
        assert!(shrunk.is_empty());
    }

    #[test]
    fn what_is_written_down_is_read_again() {
        let codes = random(5);
        assert_eq!(parse(&write_down(&codes)).expect("parses"), codes);
        assert!(parse("not hexadecimal").is_err());
    }
}
