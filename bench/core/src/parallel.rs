// SPDX-License-Identifier: GPL-2.0 OR MIT

//! From which length several threads are faster than one.

use std::num::NonZero;
use std::ops::RangeInclusive;
use std::thread;

use adler32::processor;
use anyhow::ensure;
use anyhow::Result;
use bench_common::buffer::Buffer;
use bench_common::row;
use bench_common::size;
use bench_common::table;
use serde::Serialize;

use crate::measure;
use crate::measure::Effort;
use crate::routine::Calls;
use crate::routine::Level;
use crate::routine::Routine;

/// The lengths of the data, as powers of two: 64 KiB to 64 MiB.
const SIZES: RangeInclusive<u32> = 16..=26;

/// Rates of one thread and of all, in 10^9 bytes per second, of the best batch and the median one.
#[derive(Clone, Debug, Serialize)]
pub struct Parallel {
    pub bytes: usize,
    pub threads: usize,
    pub one_best_gb_s: f64,
    pub one_median_gb_s: f64,
    pub all_best_gb_s: f64,
    pub all_median_gb_s: f64,
}

/// Measures the function that uses one thread and the one that may use several. The process must be
/// allowed to use all processors.
pub fn measure(effort: Effort) -> Result<Vec<Parallel>> {
    let one = Routine::ours("one thread", Level::Any, processor::update);
    let all = Routine::ours("all threads", Level::Any, |start, data| {
        processor::update_parallel(start, data, None)
    });
    let buffer = Buffer::random(1 << SIZES.end());
    ensure!(
        one.value(1, &buffer) == all.value(1, &buffer),
        "one thread and all threads do not agree"
    );
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    SIZES
        .map(|power| {
            let bytes = 1 << power;
            let routines = [&one, &all];
            let rates = measure::measure(&routines, Calls::Independent, &buffer, 0, bytes, effort)?;
            Ok(Parallel {
                bytes,
                threads,
                one_best_gb_s: rates[0].best_gb_s,
                one_median_gb_s: rates[0].median_gb_s,
                all_best_gb_s: rates[1].best_gb_s,
                all_median_gb_s: rates[1].median_gb_s,
            })
        })
        .collect()
}

/// Prints the rates.
pub fn print(results: &[Parallel]) {
    let threads = results.first().map_or(1, |result| result.threads);
    println!("\nWhole buffers, by one thread and by {threads}: GB/s, best and (median)");
    let mut rows = vec![row!["", "one", "all", "times"]];
    rows.extend(results.iter().map(|result| {
        row![
            size(result.bytes),
            format!(
                "{:.2} ({:.2})",
                result.one_best_gb_s, result.one_median_gb_s
            ),
            format!(
                "{:.2} ({:.2})",
                result.all_best_gb_s, result.all_median_gb_s
            ),
            format!("{:.2}", result.all_median_gb_s / result.one_median_gb_s),
        ]
    }));
    table::print(&rows);
}
