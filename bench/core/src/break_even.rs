// SPDX-License-Identifier: GPL-2.0 OR MIT

//! From which length vectors are faster in the kernel.

use std::iter;

use anyhow::Result;
use bench_common::buffer::Buffer;
use bench_common::row;
use bench_common::table;
use serde::Serialize;

use crate::measure;
use crate::measure::Effort;
use crate::routine::Calls;
use crate::routine::Level;
use crate::routine::Role;
use crate::routine::Routine;
use crate::vector_state::Cost;
use crate::vector_state::InUse;

/// The assumed time of `kernel_fpu_begin()` and `kernel_fpu_end()` if there is nothing to save, in
/// nanoseconds. A program cannot measure it.
const BEGIN_END_NS: f64 = 5.0;

/// The lengths at which times are taken. Between them, times are interpolated linearly.
const LENGTHS: [usize; 22] = [
    8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 640, 768, 1024, 1280, 1536, 2048, 3072,
    4096, 6144, 8192,
];

/// From which length an implementation is faster than the one for general registers.
#[derive(Clone, Debug, Serialize)]
pub struct BreakEven {
    pub name: String,
    /// The vector registers that must be saved, or `None` if they are saved already.
    pub to_save: Option<InUse>,
    /// Nanoseconds in addition to those of the checksum.
    pub overhead_ns: f64,
    /// The length in bytes, or `None` if the implementation is never faster.
    pub bytes: Option<usize>,
}

/// Compares our implementations in dependent calls, because the kernel waits for each result.
pub fn measure(routines: &[&Routine], costs: &[Cost], effort: Effort) -> Result<Vec<BreakEven>> {
    let of_level = |general: bool| {
        let is_wanted = move |routine: &&Routine| match routine.role {
            Role::Ours(level) => (level == Level::General) == general,
            _ => false,
        };
        routines.iter().copied().filter(is_wanted)
    };
    let Some(base) = of_level(true).next() else {
        return Ok(Vec::new());
    };
    let buffer = Buffer::random(LENGTHS[LENGTHS.len() - 1]);
    let ours: Vec<_> = iter::once(base).chain(of_level(false)).collect();
    let mut times = vec![Vec::new(); ours.len()];
    for bytes in LENGTHS {
        let results = measure::measure(&ours, Calls::Dependent, &buffer, 0, bytes, effort)?;
        for (times, result) in times.iter_mut().zip(results) {
            times.push(result.best_ns);
        }
    }

    let to_save = costs
        .iter()
        .map(|cost| (Some(cost.in_use), BEGIN_END_NS + cost.best_ns));
    let overheads: Vec<_> = iter::once((None, BEGIN_END_NS)).chain(to_save).collect();
    let mut results = Vec::new();
    for (routine, vector) in ours.iter().zip(&times).skip(1) {
        results.extend(overheads.iter().map(|&(to_save, overhead_ns)| BreakEven {
            name: routine.name.clone(),
            to_save,
            overhead_ns,
            bytes: crossing(&times[0], vector, overhead_ns),
        }));
    }
    Ok(results)
}

/// Returns the length from which the vectors are faster at all lengths measured.
fn crossing(general: &[f64], vector: &[f64], overhead: f64) -> Option<usize> {
    let gain: Vec<f64> = general
        .iter()
        .zip(vector)
        .map(|(general, vector)| general - vector - overhead)
        .collect();
    let first = match gain.iter().rposition(|&gain| gain < 0.0) {
        Some(last_loss) => last_loss + 1,
        None => return Some(LENGTHS[0]),
    };
    let (loss, gain) = (gain[first - 1], *gain.get(first)?);
    let (from, to) = (LENGTHS[first - 1] as f64, LENGTHS[first] as f64);
    Some((from + (to - from) * loss / (loss - gain)).ceil() as usize)
}

/// Prints the costs and the lengths.
pub fn print(costs: &[Cost], results: &[BreakEven]) {
    println!("\nBreak-even in the kernel");
    let mut rows = vec![row![
        "saving and restoring the vector state",
        "best ns",
        "median ns"
    ]];
    rows.extend(costs.iter().map(|cost| {
        let [best, median] = [cost.best_ns, cost.median_ns].map(|ns| format!("{ns:.1}"));
        row![in_use(Some(cost.in_use)), best, median]
    }));
    table::print(&rows);
    println!("kernel_fpu_begin() and kernel_fpu_end(): {BEGIN_END_NS} ns, assumed\n");
    let mut rows = vec![row!["faster than portable", "", "overhead", "from"]];
    rows.extend(results.iter().map(|result| {
        row![
            result.name,
            in_use(result.to_save),
            format!("{:.1} ns", result.overhead_ns),
            result
                .bytes
                .map_or("never".to_owned(), |bytes| format!("{bytes} B")),
        ]
    }));
    table::print(&rows);
}

fn in_use(to_save: Option<InUse>) -> &'static str {
    match to_save {
        None => "state saved already",
        Some(InUse::Sse) => "SSE in use",
        Some(InUse::Avx) => "AVX in use",
        Some(InUse::Avx512) => "all of AVX-512 in use",
    }
}
