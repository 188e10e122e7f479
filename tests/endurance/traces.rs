// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the kernel has at a time that a module could have left behind.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;

use crate::support::meminfo;

/// How often the amounts are read, to take the least: what others use for a moment is not counted.
const READINGS: u32 = 20;

pub struct Traces {
    /// Lists that must be the same.
    lists: BTreeMap<&'static str, String>,
    /// Amounts of memory in KiB, which come and go.
    memory: BTreeMap<&'static str, i64>,
    /// How many pages are pinned.
    pinned: i64,
}

impl Traces {
    pub fn take() -> Result<Self> {
        let mut lists = BTreeMap::new();
        for path in ["/proc/misc", "/proc/crypto", "/proc/devices"] {
            lists.insert(path, read(path)?);
        }
        // Addresses and sizes of modules; the module itself is not there.
        lists.insert("/proc/modules", read("/proc/modules")?);

        let mut memory = BTreeMap::<_, i64>::new();
        for _ in 0..READINGS {
            // What is freed late is freed now: caches, and what waits for a grace period.
            fs::write("/proc/sys/vm/drop_caches", "3").context("cannot drop caches")?;
            thread::sleep(Duration::from_millis(50));
            for key in [
                "Slab",
                "SUnreclaim",
                "VmallocUsed",
                "KernelStack",
                "PageTables",
            ] {
                let amount = meminfo(key);
                let least = memory.entry(key).or_insert(amount);
                *least = amount.min(*least);
            }
        }
        Ok(Self {
            lists,
            memory,
            pinned: pinned()?,
        })
    }
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

/// Returns how many pages have been pinned and not been unpinned.
fn pinned() -> Result<i64> {
    let text = read("/proc/vmstat")?;
    let count = |key| -> Result<i64> {
        let mut lines = text.lines();
        let count = lines.find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
        count.with_context(|| format!("/proc/vmstat has no {key}"))
    };
    Ok(count("nr_foll_pin_acquired ")? - count("nr_foll_pin_released ")?)
}

/// Prints what is more than it was. Returns whether nothing is.
///
/// Of memory, up to [`NOISE`] comes and goes by itself. With KASAN, which keeps freed memory for a
/// while, it is far more, and this says nothing.
pub fn compare(before: &Traces, after: &Traces) -> bool {
    let mut clean = before.pinned == after.pinned;
    println!(
        "pages pinned: {} before, {} after",
        before.pinned, after.pinned
    );
    for (path, text) in &before.lists {
        let same = after.lists.get(path) == Some(text);
        clean &= same;
        println!("{path}: {}", if same { "the same" } else { "DIFFERENT" });
    }
    for (key, least) in &before.memory {
        let more = after.memory[key] - least;
        let leaked = more > NOISE;
        clean &= !leaked;
        println!(
            "{key}: {least} KiB before, {more:+} KiB after, {NOISE} allowed{}",
            if leaked { ": LEAKED" } else { "" }
        );
    }
    clean
}

/// How much memory others may have taken meanwhile, in KiB: several times what was seen.
const NOISE: i64 = 96;
