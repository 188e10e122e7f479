// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The hash beside the same implementation in this program, batch by batch.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use adler32::algorithm::Runnable;
use adler32::processor;
use adler32::processor::Processor;
use adler32::Adler32;
use adler32::Session;
use anyhow::bail;
use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use serde_json::json;
use serde_json::Value;

use bench_common::Rates;

/// Where `tests/fixtures/modules/adler32_bench.c` is to be found.
const FOLDER: &str = "/sys/kernel/debug/adler32_bench";
/// The lengths of data to measure, what they are called, and what part of the implementation's speed
/// the hash is to reach.
const SIZES: [(usize, &str, Option<f64>); 2] =
    [(1 << 20, "1 MiB", Some(0.95)), (4 << 10, "4 KiB", None)];
/// How many batches of each side.
const BATCHES: usize = 301;
/// How long a batch takes, about.
const BATCH: Duration = Duration::from_millis(2);
/// The kernel's buffer begins at a page, so ours does.
const PAGE: usize = 4096;

/// Measures, prints a table and returns the figures.
pub fn measure() -> Result<Value> {
    bench_common::modprobe(&["adler32_bench"])?;
    let chosen = Session::open()?.info()?.implementation;
    let ours = processor::runnable()
        .find(|ours| ours.name() == chosen)
        .with_context(|| format!("the module computes with {chosen}, which programs cannot use"))?;
    println!("implementation {chosen}, in the kernel and in this program\n");
    println!(
        "{:<8}{:<14}{:>8}{:>16}{:>16}",
        "data", "", "calls", "best GB/s", "median GB/s"
    );
    let mut sizes = Vec::new();
    let mut summary = Vec::new();
    for (size, name, target) in SIZES {
        let mut room = vec![0; size + PAGE];
        let start = room.as_ptr().align_offset(PAGE);
        let data = &mut room[start..][..size];
        fill(data);
        let rounds = rounds(&ours, data);
        let (kernel, program) = take_turns(&ours, data, rounds)?;
        for (side, rates) in [("kernel", &kernel), ("program", &program)] {
            let Rates { best, median } = rates;
            println!("{name:<8}{side:<14}{rounds:>8}{best:>16.2}{median:>16.2}");
        }
        let best = kernel.best / program.best;
        let median = kernel.median / program.median;
        summary.push(format!(
            "{name}, kernel / program: {best:.3} (of medians: {median:.3}){}",
            target.map_or(String::new(), |target| format!(", target {target}"))
        ));
        sizes.push(json!({
            "bytes": size,
            "calls_per_batch": rounds,
            "batches": BATCHES,
            "kernel": to_json(&kernel),
            "program": to_json(&program),
            "ratio_best": best,
            "ratio_median": median,
            "target": target,
        }));
    }
    println!();
    for line in &summary {
        println!("{line}");
    }
    Ok(json!({ "implementation": chosen, "sizes": sizes }))
}

/// The same bytes as in the kernel.
fn fill(data: &mut [u8]) {
    for (i, byte) in (0u32..).zip(data) {
        *byte = (i.wrapping_mul(2_654_435_761) >> 24) as u8;
    }
}

/// Computes as often as asked, and returns how long it took.
fn batch(ours: &Runnable<Processor>, data: &[u8], rounds: u32) -> Duration {
    // As in the kernel, one that is not counted.
    black_box(ours.update(Adler32::EMPTY, black_box(data)));
    let start = Instant::now();
    for _ in 0..rounds {
        black_box(ours.update(Adler32::EMPTY, black_box(data)));
    }
    start.elapsed()
}

/// Returns how many calls make a batch long enough.
fn rounds(ours: &Runnable<Processor>, data: &[u8]) -> u32 {
    let mut rounds = 1;
    while batch(ours, data, rounds) < BATCH {
        rounds *= 2;
    }
    rounds
}

fn to_json(rates: &Rates) -> Value {
    json!({ "best_gb_s": rates.best, "median_gb_s": rates.median })
}

/// Lets the kernel and this program compute in turns, and returns the rates of both.
fn take_turns(ours: &Runnable<Processor>, data: &[u8], rounds: u32) -> Result<(Rates, Rates)> {
    let expected = ours.update(Adler32::EMPTY, data).value();
    set("size", &data.len().to_string())?;
    set("rounds", &rounds.to_string())?;
    let mut kernel = Vec::new();
    let mut program = Vec::new();
    for number in 0..BATCHES {
        // What comes first is not always the same.
        for side in [number % 2, (number + 1) % 2] {
            if side == 0 {
                kernel.push(kernel_batch(expected)?);
            } else {
                program.push(batch(ours, data, rounds));
            }
        }
    }
    let bytes = data.len() as f64 * f64::from(rounds);
    Ok((Rates::new(bytes, kernel), Rates::new(bytes, program)))
}

fn set(name: &str, value: &str) -> Result<()> {
    let path = Path::new(FOLDER).join(name);
    fs::write(&path, value).with_context(|| format!("cannot write {}", path.display()))
}

/// Runs a batch in the kernel, whose result must be `expected`.
fn kernel_batch(expected: u32) -> Result<Duration> {
    let path = Path::new(FOLDER).join("batch");
    let line =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let parsed = line.trim().split_once(' ').and_then(|(time, digest)| {
        Some((time.parse().ok()?, u32::from_str_radix(digest, 16).ok()?))
    });
    let Some((nanoseconds, digest)) = parsed else {
        bail!("{} has no result: {line}", path.display());
    };
    ensure!(
        digest == expected,
        "the kernel computes {digest:08x}, this program {expected:08x}"
    );
    Ok(Duration::from_nanos(nanoseconds))
}
