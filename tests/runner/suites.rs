// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What there is to run.

mod guest;
mod host;

use std::process::Command;
use std::process::Stdio;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;

/// The lab.
pub const LAB: &str = "build/lab/x86_64-unknown-linux-gnu/release/lab";
/// The folder of the programs for the virtual machine.
pub const TOOLS: &str = "build/userspace/x86_64-unknown-linux-gnu/release";

/// The exit status of a case that cannot run here, as in Automake.
pub const SKIPPED: i32 = 77;

/// Something to run and to count.
pub struct Suite {
    pub name: String,
    pub parts: &'static [Part],
    pub stage: Stage,
    pub environment: Environment,
    pub work: Work,
}

/// What command lines find in their environment, beside `$LAB` and `$TOOLS`.
#[derive(Clone, Default)]
pub struct Environment {
    /// `$KERNEL`: the series of the kernel.
    pub kernel: String,
    /// `$MACHINE`: more options of `lab vm`.
    pub machine: &'static str,
    /// `$CHECK`: what must succeed in the guest before anything else is run there.
    pub check: &'static str,
    /// `$ARGUMENTS`: those of the program that is run.
    pub arguments: &'static str,
}

/// What a suite is part of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `make check`
    Check,
    /// `make test`
    Test,
    /// `make soak`
    Soak,
}

/// When a suite is run: the suites of a stage side by side, after those of the stages before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Here programs and modules are built.
    Build,
    /// Here they are used.
    Use,
}

pub enum Work {
    /// A command line that prints `test result:` lines.
    Tests(&'static str),
    /// Cases by name, each a command line that succeeds and prints no warning, or says why it cannot
    /// run here and exits with [`SKIPPED`].
    Cases(&'static [(&'static str, &'static str)]),
    /// Cannot be run.
    Skip { reason: String },
}

/// Returns all suites in the order in which they begin.
pub fn all() -> Result<Vec<Suite>> {
    let mut suites = host::suites();
    let series = series()?;
    let newest = series.len() - 1;
    for (number, (kernel, offered)) in series.iter().enumerate() {
        for mut suite in guest::suites(kernel, number == newest) {
            if let Err(reason) = offered {
                suite.work = Work::Skip {
                    reason: reason.clone(),
                };
            }
            suites.push(suite);
        }
    }
    Ok(suites)
}

/// Asks the lab for the supported series of kernels. With each comes the reason why it cannot be
/// had, if so.
fn series() -> Result<Vec<(String, Result<(), String>)>> {
    let output = Command::new(LAB)
        .arg("kernels")
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {LAB}"))?;
    ensure!(output.status.success(), "`lab kernels` failed");
    let text = String::from_utf8(output.stdout).context("what `lab kernels` prints")?;
    let series: Vec<_> = text.lines().filter_map(series_line).collect();
    ensure!(!series.is_empty(), "`lab kernels` names no kernel");
    Ok(series)
}

fn series_line(line: &str) -> Option<(String, Result<(), String>)> {
    let (series, state) = line.split_once("  ")?;
    match state.trim().split_once("newest offered: ") {
        Some(_) => Some((series.to_owned(), Ok(()))),
        None => state
            .contains("not offered")
            .then(|| (series.to_owned(), Err(line.to_owned()))),
    }
}
