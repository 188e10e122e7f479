// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The suites: `tests/suites/NAME.sh` is what a suite runs.

use std::process::Command;

use anyhow::Context;
use anyhow::Result;

use Place::Each;
use Place::Host;
use Place::Newest;
use Scope::Check;
use Scope::Soak;
use Scope::Test;
use Stage::Build;
use Stage::Use;

/// The lab.
pub const LAB: &str = "build/lab/x86_64-unknown-linux-gnu/release/lab";
/// The directory of the programs for guests.
pub const TOOLS: &str = "build/userspace/x86_64-unknown-linux-gnu/release";

/// Which suites run, and how long: `make check`, `make test` or `make soak`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Check,
    Test,
    Soak,
}

impl Scope {
    /// Returns the name that scripts know.
    pub fn name(self) -> &'static str {
        match self {
            Check => "check",
            Test => "test",
            Soak => "soak",
        }
    }
}

/// When a suite runs. The suites of a stage run in parallel, after those of the stage before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Programs and modules are built.
    Build,
    /// They are used.
    Use,
}

/// Where a suite runs: on the host, for each supported kernel, or for the newest one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Host,
    Each,
    Newest,
}

/// The suites in the order in which they start.
const SUITES: &[(&str, Stage, Place, &[Scope])] = &[
    ("style", Build, Host, &[Check, Test]),
    ("user-space", Build, Host, &[Check, Test]),
    ("lab", Build, Host, &[Check, Test]),
    ("bench", Build, Host, &[Test]),
    ("fuzz", Build, Host, &[Test]),
    ("memory", Build, Host, &[Test]),
    ("examples", Build, Host, &[Test]),
    ("grid", Build, Host, &[Test]),
    ("lab-guest", Use, Host, &[Test]),
    ("packages", Build, Host, &[Soak]),
    ("module", Build, Each, &[Test]),
    ("vm", Use, Each, &[Test]),
    ("preempt-full", Use, Each, &[Soak]),
    ("preempt-full", Use, Newest, &[Test]),
    ("one-processor", Use, Each, &[Soak]),
    ("no-avx2", Use, Each, &[Soak]),
    ("no-avx2", Use, Newest, &[Test]),
    ("portable", Use, Each, &[Soak]),
    ("boot", Use, Newest, &[Check]),
    ("learn", Use, Newest, &[Test]),
    ("uml", Use, Newest, &[Test]),
    ("uml-debug", Use, Newest, &[Test, Soak]),
    ("debug", Use, Newest, &[Soak]),
    ("detectors", Use, Newest, &[Test]),
    ("inject", Use, Newest, &[Test]),
    ("kunit", Use, Newest, &[Test]),
    ("install", Use, Newest, &[Test]),
    ("bench", Use, Newest, &[Test]),
    ("operations", Use, Newest, &[Test, Soak]),
    ("cycles", Use, Newest, &[Test, Soak]),
    ("stress", Use, Newest, &[Test, Soak]),
];

/// A suite, in a kernel if it needs one.
pub struct Suite {
    /// With the kernel's series, as in `vm-7.3`.
    pub name: String,
    pub script: String,
    pub stage: Stage,
    pub kernel: String,
    pub newest: String,
    /// Why the kernel cannot be had, if so.
    pub unavailable: Option<String>,
}

/// Returns the suites of a scope.
pub fn of(scope: Scope) -> Result<Vec<Suite>> {
    let series = series()?;
    let (newest, _) = series.last().context("`lab kernels` lists no kernel")?;
    let of = |places: &[Place], kernel: &str, unavailable: Option<&String>| {
        let suites = SUITES
            .iter()
            .filter(|(_, _, place, scopes)| places.contains(place) && scopes.contains(&scope));
        suites
            .map(|(name, stage, ..)| Suite {
                name: format!("{name}-{kernel}").trim_end_matches('-').to_owned(),
                script: format!("tests/suites/{name}.sh"),
                stage: *stage,
                kernel: kernel.to_owned(),
                newest: newest.clone(),
                unavailable: unavailable.cloned(),
            })
            .collect::<Vec<_>>()
    };
    let mut suites = of(&[Host], "", None);
    for (kernel, unavailable) in &series {
        let places: &[_] = if kernel == newest {
            &[Each, Newest]
        } else {
            &[Each]
        };
        suites.extend(of(places, kernel, unavailable.as_ref()));
    }
    Ok(suites)
}

/// Returns the supported series of kernels, the newest last. If the package index no longer offers
/// one, the line that reports it comes with it.
fn series() -> Result<Vec<(String, Option<String>)>> {
    let kernels = adler32_tests::output(Command::new(LAB).arg("kernels"))?;
    let series = kernels.lines().filter_map(|line| {
        let (series, state) = line.split_once("  ")?;
        let unavailable = (!state.starts_with("newest offered: ")).then(|| line.to_owned());
        (series.starts_with(|first: char| first.is_ascii_digit()))
            .then(|| (series.to_owned(), unavailable))
    });
    Ok(series.collect())
}
