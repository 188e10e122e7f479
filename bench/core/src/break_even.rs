// SPDX-License-Identifier: GPL-2.0 OR MIT

//! From which length on vectors pay in the kernel.

use serde::Serialize;

use crate::buffer::Buffer;
use crate::contender::Contender;
use crate::contender::Level;
use crate::contender::Mode;
use crate::contender::Role;
use crate::measure;
use crate::measure::Effort;
use crate::vector_state::Cost;
use crate::vector_state::InUse;

/// What `kernel_fpu_begin()` and `kernel_fpu_end()` take, in nanoseconds, if there is nothing to
/// save. Assumed: it cannot be measured here.
const BEGIN_END_NS: f64 = 5.0;

/// Lengths at which times are taken. Between them, they are taken to be on straight lines.
const LENGTHS: [usize; 22] = [
    8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 640, 768, 1024, 1280, 1536, 2048, 3072,
    4096, 6144, 8192,
];

/// From where on an implementation is faster than the one in general registers.
#[derive(Clone, Debug, Serialize)]
pub struct BreakEven {
    pub name: String,
    /// The vector registers that must be saved; none if they are already.
    pub to_save: Option<InUse>,
    /// Nanoseconds beside those of the checksum.
    pub overhead_ns: f64,
    /// Bytes, or none if it never is.
    pub bytes: Option<usize>,
}

/// Compares our implementations in dependent calls, as the kernel waits for each result.
pub fn measure(contenders: &[&Contender], costs: &[Cost], effort: Effort) -> Vec<BreakEven> {
    let of_level = |general: bool| {
        contenders
            .iter()
            .copied()
            .filter(move |contender| match contender.role {
                Role::Ours(level) => (level == Level::General) == general,
                _ => false,
            })
    };
    let Some(base) = of_level(true).next() else {
        return Vec::new();
    };
    let buffer = Buffer::random(LENGTHS[LENGTHS.len() - 1]);
    let ours: Vec<_> = std::iter::once(base).chain(of_level(false)).collect();
    let mut times = vec![Vec::new(); ours.len()];
    for bytes in LENGTHS {
        let figures = measure::measure(&ours, Mode::Dependent, &buffer, 0, bytes, effort);
        for (times, figure) in times.iter_mut().zip(figures) {
            times.push(figure.best_ns);
        }
    }

    let saved = (None, BEGIN_END_NS);
    let to_save = costs
        .iter()
        .map(|cost| (Some(cost.in_use), BEGIN_END_NS + cost.best_ns));
    let overheads: Vec<_> = std::iter::once(saved).chain(to_save).collect();
    ours.iter()
        .zip(&times)
        .skip(1)
        .flat_map(|(contender, vector)| {
            let general = &times[0];
            overheads
                .iter()
                .map(move |&(to_save, overhead_ns)| BreakEven {
                    name: contender.name.clone(),
                    to_save,
                    overhead_ns,
                    bytes: crossing(general, vector, overhead_ns),
                })
        })
        .collect()
}

/// Returns the length from which on the vectors are faster at all lengths measured.
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
    for cost in costs {
        println!(
            "saving and restoring the state, {:<22}{:>7.1} ns (median {:.1})",
            in_use(Some(cost.in_use)),
            cost.best_ns,
            cost.median_ns
        );
    }
    println!("kernel_fpu_begin() and kernel_fpu_end() taken as {BEGIN_END_NS} ns");
    println!(
        "\n{:<22}{:<26}{:>10}{:>14}",
        "faster than portable", "", "overhead", "from"
    );
    for result in results {
        let from = match result.bytes {
            Some(bytes) => format!("{bytes} B"),
            None => "never".to_owned(),
        };
        println!(
            "{:<22}{:<26}{:>7.1} ns{from:>14}",
            result.name,
            in_use(result.to_save),
            result.overhead_ns
        );
    }
}

fn in_use(to_save: Option<InUse>) -> &'static str {
    match to_save {
        None => "state saved already",
        Some(InUse::Sse) => "SSE in use",
        Some(InUse::Avx) => "AVX in use",
        Some(InUse::Avx512) => "all of AVX-512 in use",
    }
}
