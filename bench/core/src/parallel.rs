// SPDX-License-Identifier: GPL-2.0 OR MIT

//! From which length on more threads pay.

use std::num::NonZero;
use std::thread;

use adler32::processor;
use anyhow::ensure;
use anyhow::Result;
use serde::Serialize;

use crate::buffer::Buffer;
use crate::contender::Contender;
use crate::contender::Level;
use crate::contender::Mode;
use crate::contender::Ours;
use crate::contender::Role;
use crate::measure;
use crate::measure::Effort;
use crate::report;

/// The lengths of data, in bytes: 64 KiB to 64 MiB.
const SIZES: [usize; 11] = {
    let mut sizes = [64 << 10; 11];
    let mut n = 1;
    while n < sizes.len() {
        sizes[n] = 2 * sizes[n - 1];
        n += 1;
    }
    sizes
};

/// Rates of one thread and of all, in 10^9 bytes in a second, of the best batch and the median one.
#[derive(Clone, Debug, Serialize)]
pub struct Parallel {
    pub bytes: usize,
    pub threads: usize,
    pub one_best_gb_s: f64,
    pub one_median_gb_s: f64,
    pub all_best_gb_s: f64,
    pub all_median_gb_s: f64,
}

/// Measures the function that uses one thread and the one that may use more. To be called where the
/// process may use all processors.
pub fn measure(effort: Effort) -> Result<Vec<Parallel>> {
    let role = Role::Ours(Level::Any);
    let one = Contender::new("one thread", role, Ours(processor::update));
    let all = Contender::new("all threads", role, Ours(processor::update_parallel));
    let buffer = Buffer::random(SIZES[SIZES.len() - 1]);
    ensure!(
        one.value(1, &buffer) == all.value(1, &buffer),
        "one thread and all threads do not agree"
    );
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let results = SIZES.map(|bytes| {
        let contenders = [&one, &all];
        let figures = measure::measure(&contenders, Mode::Independent, &buffer, 0, bytes, effort);
        Parallel {
            bytes,
            threads,
            one_best_gb_s: figures[0].best_gb_s,
            one_median_gb_s: figures[0].median_gb_s,
            all_best_gb_s: figures[1].best_gb_s,
            all_median_gb_s: figures[1].median_gb_s,
        }
    });
    Ok(results.into())
}

/// Prints the rates.
pub fn print(results: &[Parallel]) {
    let threads = results.first().map_or(1, |result| result.threads);
    println!("\nWhole buffers by one thread and by {threads}: GB/s, best and (median)");
    println!("{:>10}{:>22}{:>22}{:>8}", "", "one", "all", "times");
    for result in results {
        println!(
            "{:>10}{:>12.2} ({:>7.2}){:>12.2} ({:>7.2}){:>8.2}",
            report::size(result.bytes),
            result.one_best_gb_s,
            result.one_median_gb_s,
            result.all_best_gb_s,
            result.all_median_gb_s,
            result.all_median_gb_s / result.one_median_gb_s
        );
    }
}
