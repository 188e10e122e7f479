// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The hash and the same implementation in this program, batch by batch.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use adler32::algorithm::Runnable;
use adler32::processor;
use adler32::processor::Processor;
use adler32::Adler32;
use adler32::Session;
use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use bench_common::aim;
use bench_common::aim::Aim;
use bench_common::aim::Threshold::Open;
use bench_common::aim::Threshold::Speed;
use bench_common::buffer::Buffer;
use bench_common::contender::Contender;
use bench_common::group::Group;
use bench_common::group::Workload;
use serde_json::json;
use serde_json::Value;

/// Where the module of `tests/fixtures/modules/adler32_bench.c` has its files.
const DIRECTORY: &str = "/sys/kernel/debug/adler32_bench";
/// The workloads and their lengths.
const SIZES: [(Workload, usize); 2] = [(Workload::Cached, 1 << 20), (Workload::Page, 4 << 10)];
/// The number of batches of each side.
const BATCHES: usize = 301;
/// The least duration of a batch.
const BATCH: Duration = Duration::from_millis(2);

const AIMS: [Aim; 2] = [
    (Workload::Cached, "kernel", &["program"], Speed(0.95)),
    (Workload::Page, "kernel", &["program"], Open),
];

/// Measures the hash, prints tables and returns the figures.
pub fn measure() -> Result<Value> {
    adler32_tests::output(Command::new("modprobe").arg("adler32_bench"))?;
    let chosen = Session::open()?.info()?.implementation;
    let ours = processor::runnable()
        .find(|ours| ours.name() == chosen)
        .with_context(|| format!("programs cannot use the module's implementation, {chosen}"))?;
    println!("implementation {chosen}, in the kernel and in this program");
    let mut groups = Vec::new();
    for (workload, size) in SIZES {
        // Like the buffer in the kernel, it begins at a page boundary.
        let mut data = Buffer::zeroed(size);
        fill(&mut data);
        let expected = ours.update(Adler32::EMPTY, &data).value();
        set("size", size as u64)?;
        let contenders = vec![
            Contender::repeated("kernel", BATCH, |calls| kernel_batch(calls, expected))?,
            Contender::repeated("program", BATCH, |calls| Ok(batch(&ours, &data, calls)))?,
        ];
        let title = bench_common::size(size);
        groups.push(Group::measure(workload, title, size, contenders, BATCHES)?);
    }
    let aims = aim::compare(&groups, &AIMS)?;
    let groups: Vec<_> = groups.iter().map(Group::to_json).collect();
    Ok(json!({ "implementation": chosen, "groups": groups, "aims": aims }))
}

/// Fills the data with the same bytes as the kernel.
fn fill(data: &mut [u8]) {
    for (i, byte) in (0u32..).zip(data) {
        *byte = (i.wrapping_mul(2_654_435_761) >> 24) as u8;
    }
}

/// Runs a batch in this program and returns the time that it took.
fn batch(ours: &Runnable<Processor>, data: &[u8], calls: u64) -> Duration {
    // Not counted, as in the kernel: it brings the data to the caches again.
    black_box(ours.update(Adler32::EMPTY, black_box(data)));
    let start = Instant::now();
    for _ in 0..calls {
        black_box(ours.update(Adler32::EMPTY, black_box(data)));
    }
    start.elapsed()
}

/// Runs a batch in the kernel, checks the digest and returns the time that the batch took.
fn kernel_batch(calls: u64, expected: u32) -> Result<Duration> {
    set("calls", calls)?;
    let path = Path::new(DIRECTORY).join("batch");
    let line =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let parsed = line.trim().split_once(' ').and_then(|(time, digest)| {
        Some((time.parse().ok()?, u32::from_str_radix(digest, 16).ok()?))
    });
    let (nanoseconds, digest) =
        parsed.with_context(|| format!("{} contains no result: {line}", path.display()))?;
    ensure!(
        digest == expected,
        "the kernel computes {digest:08x}, this program {expected:08x}"
    );
    Ok(Duration::from_nanos(nanoseconds))
}

fn set(name: &str, value: u64) -> Result<()> {
    let path = Path::new(DIRECTORY).join(name);
    fs::write(&path, value.to_string()).with_context(|| format!("cannot write {}", path.display()))
}
