// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the benchmarks in the guest share.

pub mod aim;
pub mod contender;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use serde_json::Value;

/// Loads a module, with parameters.
pub fn modprobe(arguments: &[&str]) -> Result<()> {
    let output = Command::new("modprobe")
        .args(arguments)
        .output()
        .context("cannot run modprobe")?;
    if !output.status.success() {
        bail!(
            "cannot load the module {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

/// Returns the release of the kernel.
pub fn kernel() -> Result<String> {
    const FILE: &str = "/proc/sys/kernel/osrelease";
    let release = fs::read_to_string(FILE).with_context(|| format!("cannot read {FILE}"))?;
    Ok(release.trim().to_owned())
}

/// Writes figures to a file.
pub fn write_json(path: &Path, results: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(results)? + "\n";
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// How fast something was: GB/s, where it is bytes that are counted.
#[derive(Clone, Copy)]
pub struct Rates {
    pub best: f64,
    pub median: f64,
}

impl Rates {
    /// Of so much in each of these times.
    pub fn new(amount: f64, mut times: Vec<Duration>) -> Self {
        times.sort();
        let rate = |time: Duration| amount / time.as_secs_f64() / 1e9;
        Self {
            best: rate(times[0]),
            median: rate(times[times.len() / 2]),
        }
    }
}
