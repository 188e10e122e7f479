// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Lists and amounts of memory in which a leak of the module shows.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;

use adler32_tests::memory::page_size;
use adler32_tests::usage::meminfo;
use adler32_tests::usage::Pins;

/// How many KiB others may take in the same time: twice the largest amount seen.
const NOISE: i64 = 128;

/// The lines of /proc/meminfo for memory of the kernel itself, and for memory of programs and
/// files. Used pages that none of these lines counts are compared, too.
const KERNEL: [&str; 4] = ["Slab", "VmallocUsed", "KernelStack", "Percpu"];
const PROGRAMS: [&str; 4] = ["Cached", "Buffers", "AnonPages", "PageTables"];

/// How often the amounts are read. The smallest counts, without memory that others use briefly.
const READINGS: u32 = 5;

pub struct Traces {
    /// Files whose contents must stay the same.
    lists: Vec<(&'static str, String)>,
    /// Amounts of memory in KiB, which vary.
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
            // Frees caches now, and memory that is freed after an RCU grace period.
            fs::write("/proc/sys/vm/drop_caches", "3").context("cannot drop caches")?;
            thread::sleep(Duration::from_millis(50));
            free_slabs()?;
            let kernel = KERNEL.map(|key| (key, meminfo(key)));
            let counted = kernel.iter().map(|(_, amount)| amount).sum::<i64>()
                + PROGRAMS.map(meminfo).iter().sum::<i64>();
            let used = meminfo("MemTotal") - meminfo("MemFree") - in_processor_lists()?;
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

/// Frees the slabs without objects, and the freed objects that KASAN keeps.
fn free_slabs() -> Result<()> {
    let caches = fs::read_dir("/sys/kernel/slab").context("cannot read /sys/kernel/slab")?;
    for cache in caches {
        let file = cache?.path().join("shrink");
        fs::write(&file, "1").with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// Returns how many KiB of free pages are in the lists of processors and not counted as free.
fn in_processor_lists() -> Result<i64> {
    let text = fs::read_to_string("/proc/zoneinfo").context("cannot read /proc/zoneinfo")?;
    let counts = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("count:"));
    let pages: i64 = counts
        .map(|count| count.trim().parse::<i64>())
        .sum::<Result<_, _>>()
        .context("a count in /proc/zoneinfo")?;
    Ok(pages * page_size() as i64 / 1024)
}

/// Prints how three traces, with `cycles` cycles between each two, differ. Returns whether nothing
/// has leaked.
///
/// Amounts of memory vary by up to [`NOISE`]. Memory that grows in only one of the intervals is
/// kept by the kernel but not leaked.
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
