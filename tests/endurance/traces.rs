// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the kernel has at a time that a module could have left behind.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;

use adler32_tests::memory::PAGE;
use adler32_tests::usage::meminfo;
use adler32_tests::usage::Pins;

/// How much memory others may have taken meanwhile, in KiB: several times what was seen.
const NOISE: i64 = 64;

/// What the kernel has for itself, and what programs have of it, in /proc/meminfo. The pages in use that
/// neither counts are looked at, too.
const KERNEL: [&str; 4] = ["Slab", "VmallocUsed", "KernelStack", "Percpu"];
const PROGRAMS: [&str; 4] = ["Cached", "Buffers", "AnonPages", "PageTables"];

/// How often the amounts are read, to take the least: what others use for a moment is not counted.
const READINGS: u32 = 20;

pub struct Traces {
    /// Lists that must be the same, by their files.
    lists: Vec<(&'static str, String)>,
    /// Amounts of memory in KiB, which come and go.
    memory: BTreeMap<&'static str, i64>,
    /// How many pages are pinned.
    pinned: i64,
}

impl Traces {
    pub fn take() -> Result<Self> {
        let mut lists = Vec::new();
        for path in [
            "/proc/misc",
            "/proc/crypto",
            "/proc/devices",
            "/proc/modules",
        ] {
            let list = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
            lists.push((path, list));
        }

        let mut memory = BTreeMap::<_, i64>::new();
        for _ in 0..READINGS {
            // What is freed late is freed now: caches, and what waits for a grace period.
            fs::write("/proc/sys/vm/drop_caches", "3").context("cannot drop caches")?;
            thread::sleep(Duration::from_millis(50));
            let kernel = KERNEL.map(|key| (key, meminfo(key)));
            let counted = kernel.iter().map(|(_, amount)| amount).sum::<i64>()
                + PROGRAMS.map(meminfo).iter().sum::<i64>();
            let used = meminfo("MemTotal") - meminfo("MemFree") - at_hand()?;
            for (key, amount) in kernel.into_iter().chain([("other pages", used - counted)]) {
                let least = memory.entry(key).or_insert(amount);
                *least = amount.min(*least);
            }
        }
        Ok(Self {
            lists,
            memory,
            pinned: Pins::now().held(),
        })
    }
}

/// Returns how many KiB of free pages the processors have at hand, which do not count as free.
fn at_hand() -> Result<i64> {
    let text = fs::read_to_string("/proc/zoneinfo").context("cannot read /proc/zoneinfo")?;
    let counts = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("count:"));
    let pages: i64 = counts
        .map(|count| count.trim().parse::<i64>())
        .sum::<Result<_, _>>()
        .context("a count in /proc/zoneinfo")?;
    Ok(pages * PAGE as i64 / 1024)
}

/// Prints what is more than it was, looked at three times with `cycles` in between. Returns whether
/// nothing is.
///
/// Of memory, up to [`NOISE`] comes and goes by itself, and what is taken in one of the intervals
/// alone is kept by the kernel but not leaked. With KASAN, which keeps freed memory for a while, it is
/// far more.
pub fn compare([before, between, after]: [&Traces; 3], cycles: u32) -> bool {
    let mut clean = before.pinned == after.pinned;
    println!(
        "pages pinned: {} before, {} after",
        before.pinned, after.pinned
    );
    for ((path, text), (_, later)) in before.lists.iter().zip(&after.lists) {
        let same = text == later;
        clean &= same;
        println!("{path}: {}", if same { "the same" } else { "DIFFERENT" });
    }
    for (key, amount) in &before.memory {
        let more = [
            between.memory[key] - amount,
            after.memory[key] - between.memory[key],
        ];
        let leaked = more.iter().all(|&more| more > NOISE);
        clean &= !leaked;
        println!(
            "{key}: {amount} KiB before, then {:+} KiB and {:+} KiB{}",
            more[0],
            more[1],
            if leaked { ": LEAKED" } else { "" }
        );
    }
    println!(
        "up to {NOISE} KiB are allowed in {cycles} cycles: a loss of more than {} bytes in each is noticed",
        NOISE * 1024 / i64::from(cycles)
    );
    clean
}
