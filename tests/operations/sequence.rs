// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A sequence of operations: its name, how a process runs it, and how it is made shorter.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::panic;
use std::panic::AssertUnwindSafe;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use fastrand::Rng;
use nix::sys::signal::Signal;
use nix::sys::wait;
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

/// The number of operations in a whole sequence.
const LEN: usize = 500;
/// A sequence that takes longer than this, in seconds, is stuck.
const PATIENCE: u32 = 120;
/// How long a sequence is made shorter.
const SHRINKING: Duration = Duration::from_secs(120);
/// Sequences run as this user and the users after it.
const FIRST_USER: u32 = 200_000;

/// Random operations from a seed, or some of them.
///
/// A sequence is written as its seed. If it is not whole, a colon and the numbers of its operations
/// follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    seed: u64,
    numbers: Vec<usize>,
}

impl Sequence {
    /// Returns the whole sequence of a seed.
    pub fn of_seed(seed: u64) -> Self {
        let numbers = (0..LEN).collect();
        Self { seed, numbers }
    }

    /// Returns the operations and their numbers.
    pub fn operations(&self) -> Vec<(usize, Operation)> {
        let mut rng = Rng::with_seed(self.seed);
        let all: Vec<_> = (0..LEN).map(|_| Operation::random(&mut rng)).collect();
        let operation = |&number: &usize| (number, all[number].clone());
        self.numbers.iter().map(operation).collect()
    }

    /// Leaves out operations that are not needed for a failure: first many at a time, then single
    /// ones.
    pub fn shrink(mut self, fails: impl Fn(&Self) -> Result<bool>) -> Result<Self> {
        let mut size = self.numbers.len().div_ceil(2);
        while size > 0 {
            let mut start = 0;
            let before = self.numbers.len();
            while start < self.numbers.len() {
                let end = (start + size).min(self.numbers.len());
                let mut rest = self.clone();
                rest.numbers.drain(start..end);
                if fails(&rest)? {
                    self = rest;
                } else {
                    start = end;
                }
            }
            // The operations that were just left out may have been the only need for others.
            if size > 1 || self.numbers.len() == before {
                size /= 2;
            }
        }
        Ok(self)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seed)?;
        if self.numbers.len() < LEN {
            let numbers: Vec<_> = self.numbers.iter().map(usize::to_string).collect();
            write!(f, ":{}", numbers.join(","))?;
        }
        Ok(())
    }
}

impl FromStr for Sequence {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some((seed, numbers)) = text.split_once(':') else {
            return Ok(Self::of_seed(text.parse().context("not a seed")?));
        };
        let parse = |number: &str| {
            let number = number.parse().ok().filter(|&number| number < LEN);
            number.with_context(|| format!("the numbers of operations are below {LEN}"))
        };
        Ok(Self {
            seed: seed.parse().context("not a seed")?,
            numbers: numbers.split(',').map(parse).collect::<Result<_>>()?,
        })
    }
}

/// The result of a sequence.
pub struct Verdict {
    /// How many operations of each kind were performed.
    pub done: BTreeMap<String, u64>,
    pub failure: Option<String>,
}

/// A sequence that a process is running.
pub struct Running {
    pub pid: Pid,
    pub process: u32,
    pub sequence: Sequence,
    report: File,
}

/// How a sequence is run.
#[derive(Clone, Copy)]
pub struct Manner {
    /// Whether no other sequence runs at the same time.
    pub alone: bool,
    /// Whether each operation is printed before it is performed.
    pub verbose: bool,
}

/// Runs sequences in processes, which share what this contains.
pub struct Executor {
    pub arena: Arena,
    pub unloads: &'static Unloads,
}

impl Executor {
    /// Makes the memory that the processes share.
    pub fn new() -> Self {
        Self {
            arena: Arena::new(),
            unloads: Unloads::shared(),
        }
    }

    /// Starts a sequence. Processes that run at the same time must have different numbers.
    pub fn start(&self, sequence: Sequence, process: u32, manner: Manner) -> Result<Running> {
        let (reader, writer) = unistd::pipe().context("cannot make a pipe")?;
        // SAFETY: This process has one thread, so that the child inherits no lock of another.
        match unsafe { unistd::fork() }.context("cannot fork")? {
            ForkResult::Parent { child } => Ok(Running {
                pid: child,
                process,
                sequence,
                report: reader.into(),
            }),
            ForkResult::Child => {
                drop(reader);
                self.run(&sequence, process, manner, writer);
                // SAFETY: The call takes no pointers, and does not return.
                unsafe { libc::_exit(0) }
            }
        }
    }

    fn run(&self, sequence: &Sequence, process: u32, manner: Manner, writer: OwnedFd) {
        /// The message of the first panic, and its place.
        static FAILURE: OnceLock<String> = OnceLock::new();

        panic::set_hook(Box::new(|info| {
            let _ = FAILURE.set(info.to_string());
        }));
        // SAFETY: The call takes no pointers.
        unsafe { libc::alarm(PATIENCE) };
        self.arena.unshare();
        let users = [0, 1].map(|number| FIRST_USER + 2 * process + number);
        let mut done = BTreeMap::<_, u64>::new();
        let mut doing = "before the first operation".to_owned();
        let result = panic::catch_unwind(AssertUnwindSafe(|| {
            let mut world = World::new(&self.arena, self.unloads, users, manner.alone);
            for (number, operation) in sequence.operations() {
                let kind = operation.kind();
                doing = format!("operation {number}, {operation:?}");
                if manner.verbose {
                    println!("process {process}: {doing}");
                }
                if world.step(operation) {
                    *done.entry(kind).or_default() += 1;
                }
            }
            doing = "after the last operation".to_owned();
            world.finish();
        }));
        let failure = result.err().map(|_| {
            let failure = FAILURE.get().map_or("a panic", String::as_str);
            format!("{doing}: {failure}")
        });
        let report = json!({ "done": done, "failure": failure }).to_string();
        // If the report does not arrive, the sequence has failed.
        let _ = File::from(writer).write_all(report.as_bytes());
    }

    /// Returns how a sequence fails if no other runs, or `None` if it passes.
    pub fn failure_alone(&self, sequence: &Sequence) -> Result<Option<String>> {
        let manner = Manner {
            alone: true,
            verbose: false,
        };
        let running = self.start(sequence.clone(), 0, manner)?;
        let status = wait::waitpid(running.pid, None).context("cannot wait")?;
        Ok(running.end(status)?.failure)
    }

    /// Leaves out operations of a sequence if it still fails without them.
    pub fn shrink(&self, sequence: Sequence) -> Result<Sequence> {
        let start = Instant::now();
        sequence.shrink(|sequence| {
            Ok(start.elapsed() < SHRINKING && self.failure_alone(sequence)?.is_some())
        })
    }
}

impl Running {
    /// Returns the verdict on the sequence, once its process has ended.
    pub fn end(mut self, status: WaitStatus) -> Result<Verdict> {
        let mut report = String::new();
        self.report
            .read_to_string(&mut report)
            .context("cannot read a report")?;
        if !matches!(status, WaitStatus::Exited(_, 0)) || report.is_empty() {
            return Ok(Verdict {
                done: BTreeMap::new(),
                failure: Some(match status {
                    WaitStatus::Signaled(_, Signal::SIGALRM, _) => {
                        format!("stuck after {PATIENCE} s; --replay prints the operation")
                    }
                    status => format!("the process ended by {status:?}"),
                }),
            });
        }
        let mut report: Value = serde_json::from_str(&report).context("cannot parse a report")?;
        Ok(Verdict {
            done: serde_json::from_value(report["done"].take()).context("cannot parse a report")?,
            failure: report["failure"].as_str().map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_to_fail_remains() {
        let needed = [17, 18, 80];
        let fails = |some: &Sequence| Ok(needed.iter().all(|number| some.numbers.contains(number)));
        let shrunk = Sequence::of_seed(5).shrink(fails).expect("shrinks");
        assert_eq!(shrunk.numbers, needed);
    }

    #[test]
    fn what_fails_always_becomes_empty() {
        let shrunk = Sequence::of_seed(5).shrink(|_| Ok(true)).expect("shrinks");
        assert!(shrunk.numbers.is_empty());
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["5", "5:17,18,80"] {
            let sequence: Sequence = text.parse().expect("parses");
            assert_eq!(sequence.to_string(), text);
        }
        for text in ["", "x", "5:", "5:500"] {
            assert!(text.parse::<Sequence>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_left_is_as_it_was() {
        let whole = Sequence::of_seed(5).operations();
        let some: Sequence = "5:17,80".parse().expect("parses");
        let expected = [&whole[17], &whole[80]];
        assert_eq!(
            format!("{:?}", some.operations().iter().collect::<Vec<_>>()),
            format!("{expected:?}")
        );
    }
}
