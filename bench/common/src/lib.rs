// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the benchmarks share.

pub mod aim;
pub mod buffer;
pub mod contender;
pub mod group;
pub mod plot;
pub mod table;

use std::fs;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;
use serde_json::Value;

/// The unit in which the benchmarks take sizes.
pub const MIB: usize = 1 << 20;

/// Returns the release of the running kernel.
pub fn kernel() -> Result<String> {
    const FILE: &str = "/proc/sys/kernel/osrelease";
    let release = fs::read_to_string(FILE).with_context(|| format!("cannot read {FILE}"))?;
    Ok(release.trim().to_owned())
}

/// Writes results to a JSON file.
pub fn write_json(path: &Path, results: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(results)? + "\n";
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Returns a length in the largest unit in which it is a whole number.
pub fn size(bytes: usize) -> String {
    match bytes.trailing_zeros() {
        20.. => format!("{} MiB", bytes >> 20),
        10.. => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}
