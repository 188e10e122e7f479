// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The suites: `tests/suites/NAME.sh` is what a suite runs.

use std::process::Command;

use anyhow::Context;
use anyhow::Result;

use Place::Chosen;
use Place::Each;
use Place::Host;
use Place::Newest;
use Place::Other;
use Stage::Build;
use Stage::Use;

/// The lab.
pub const LAB: &str = "build/lab/x86_64-unknown-linux-gnu/debug/lab";
/// The directory of the programs for guests.
pub const TOOLS: &str = "build/userspace/x86_64-unknown-linux-gnu/release";

/// The scopes: `make check`, `make test` and `make soak`.
pub const CHECK: &str = "check";
pub const TEST: &str = "test";
pub const SOAK: &str = "soak";

/// When a suite runs. The suites of a stage run in parallel, after those of the stage before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Programs and modules are built.
    Build,
    /// They are used.
    Use,
}

/// Where a suite runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Host,
    /// For each supported kernel of the flavour amd64.
    Each,
    /// For the newest of these.
    Newest,
    /// For each supported kernel of Debian's other flavours.
    Other,
    /// For the newest of these in the flavours [`CHOSEN`].
    Chosen,
}

/// The flavours that stand for the others in `make test`.
const CHOSEN: [&str; 2] = ["rt-amd64", "arm64"];

impl Place {
    /// Returns whether a suite with this place runs for `kernel`.
    fn is_for(self, kernel: &str, newest: &str) -> bool {
        let (series, flavour) = kernel.split_once('-').unwrap_or((kernel, ""));
        match self {
            Host => false,
            Each => flavour.is_empty(),
            Newest => kernel == newest,
            Other => !flavour.is_empty(),
            Chosen => series == newest && CHOSEN.contains(&flavour),
        }
    }
}

/// The suites in the order of the table. Those of a stage start in this order. `kernels` is the
/// first, because it takes longest if there is no cache. `examples` and `grid` often wait, so they
/// run at the same time as `style`, which does not.
const SUITES: &[(&str, Stage, Place, &[&str])] = &[
    ("kernels", Build, Host, &[TEST]),
    ("style", Build, Host, &[CHECK, TEST]),
    ("examples", Build, Host, &[TEST]),
    ("grid", Build, Host, &[TEST]),
    ("user-space", Build, Host, &[CHECK, TEST]),
    ("lab", Build, Host, &[CHECK, TEST]),
    ("bench", Build, Host, &[TEST]),
    ("fuzz", Build, Host, &[TEST]),
    ("memory", Build, Host, &[TEST]),
    ("lab-guest", Use, Host, &[TEST]),
    ("packages", Build, Host, &[SOAK]),
    ("module", Build, Each, &[TEST]),
    ("module", Build, Chosen, &[TEST]),
    ("module", Build, Other, &[SOAK]),
    ("vm", Use, Each, &[TEST]),
    ("vm", Use, Chosen, &[TEST]),
    ("vm", Use, Other, &[SOAK]),
    ("preempt-full", Use, Each, &[SOAK]),
    ("one-processor", Use, Each, &[SOAK]),
    ("no-avx2", Use, Each, &[SOAK]),
    ("no-avx2", Use, Newest, &[TEST]),
    ("portable", Use, Each, &[SOAK]),
    ("boot", Use, Newest, &[CHECK]),
    ("learn", Use, Newest, &[TEST]),
    ("uml", Use, Newest, &[SOAK]),
    ("uml-debug", Use, Newest, &[TEST, SOAK]),
    ("writers", Use, Newest, &[TEST]),
    ("debug", Use, Newest, &[SOAK]),
    ("detectors", Use, Newest, &[TEST]),
    ("inject", Use, Newest, &[TEST]),
    ("kunit", Use, Newest, &[TEST]),
    ("install", Use, Newest, &[TEST]),
    ("bench", Use, Newest, &[TEST]),
    ("operations", Use, Newest, &[TEST, SOAK]),
    ("cycles", Use, Newest, &[TEST, SOAK]),
    ("stress", Use, Newest, &[TEST, SOAK]),
];

/// A suite, in a kernel if it needs one.
pub struct Suite {
    /// With the kernel, as in `vm-7.3` or `vm-7.3-rt-amd64`.
    pub name: String,
    /// The name of the script.
    pub script: &'static str,
    pub stage: Stage,
    pub kernel: String,
    pub newest: String,
    /// The kernels of all suites of the scope that can be had.
    pub kernels: String,
    /// Why the kernel cannot be had, if so.
    pub unavailable: Option<String>,
}

/// Returns the suites of a scope.
pub fn of(scope: &str) -> Result<Vec<Suite>> {
    let kernels = kernels()?;
    let (newest, _) = kernels
        .iter()
        .rfind(|(kernel, _)| !kernel.contains('-'))
        .context("`lab kernels` lists no kernel")?;
    let mut suites = Vec::new();
    for &(name, stage, place, scopes) in SUITES {
        if !scopes.contains(&scope) {
            continue;
        }
        let suite = |kernel: &str, unavailable: Option<&String>| Suite {
            name: format!("{name}-{kernel}").trim_end_matches('-').to_owned(),
            script: name,
            stage,
            kernel: kernel.to_owned(),
            newest: newest.clone(),
            kernels: String::new(),
            unavailable: unavailable.cloned(),
        };
        let kernels = kernels
            .iter()
            .filter(|(kernel, _)| place.is_for(kernel, newest))
            .map(|(kernel, unavailable)| suite(kernel, unavailable.as_ref()));
        suites.extend((place == Host).then(|| suite("", None)));
        suites.extend(kernels);
    }
    let mut used: Vec<_> = suites
        .iter()
        .filter(|suite| suite.unavailable.is_none() && !suite.kernel.is_empty())
        .map(|suite| suite.kernel.clone())
        .collect();
    used.sort();
    used.dedup();
    for suite in &mut suites {
        suite.kernels = used.join(" ");
    }
    Ok(suites)
}

/// Returns the names of the supported kernels: series, and behind a hyphen another of Debian's
/// flavours than amd64. The newest of each flavour is the last. If the package index no longer
/// offers a kernel, the line that reports this comes with the name.
fn kernels() -> Result<Vec<(String, Option<String>)>> {
    let list = adler32_tests::output(Command::new(LAB).arg("kernels"))?;
    let kernels = list.lines().filter_map(|line| {
        let (kernel, state) = line.split_once(' ')?;
        let unavailable = (!state.contains("newest offered: ")).then(|| line.to_owned());
        kernel
            .starts_with(|first: char| first.is_ascii_digit())
            .then(|| (kernel.to_owned(), unavailable))
    });
    Ok(kernels.collect())
}
