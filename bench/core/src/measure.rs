// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Checks the routines and takes their times.

use std::time::Duration;

use adler32::algorithm::verify::definition;
use anyhow::ensure;
use anyhow::Result;
use bench_common::buffer::Buffer;
use bench_common::contender;
use bench_common::contender::Contender;
use bench_common::contender::Figure;
use serde::Serialize;

use crate::routine;
use crate::routine::Calls;
use crate::routine::Role;
use crate::routine::Routine;

/// The lengths of the data, in bytes.
pub const SIZES: [usize; 8] = [16, 64, 256, 1 << 10, 4 << 10, 64 << 10, 1 << 20, 64 << 20];

/// The offsets of the data from a page boundary.
pub const OFFSETS: [usize; 2] = [0, 1];

/// How much is measured for each figure.
#[derive(Clone, Copy)]
pub struct Effort {
    /// The number of batches.
    pub rounds: usize,
    /// The least duration of a batch.
    pub batch: Duration,
}

impl Effort {
    pub const FULL: Self = Self {
        rounds: 41,
        batch: Duration::from_micros(1500),
    };
    /// Shows that everything works. The figures are not reliable.
    pub const QUICK: Self = Self {
        rounds: 3,
        batch: Duration::from_micros(200),
    };
}

/// What was measured for a routine on some data.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    pub name: String,
    #[serde(flatten)]
    pub role: Role,
    pub calls: Calls,
    pub offset: usize,
    pub bytes: usize,
    /// Nanoseconds for a call, in the best batch and in the median one.
    pub best_ns: f64,
    pub median_ns: f64,
    /// 10^9 bytes per second, likewise.
    pub best_gb_s: f64,
    pub median_gb_s: f64,
}

/// Compares all checksums with the definition, also on data that make the sums largest.
pub fn check(routines: &[Routine]) -> Result<()> {
    let random = Buffer::random(70_000);
    let ones = vec![0xff; 70_000];
    for data in [&*random, &ones] {
        for offset in OFFSETS {
            let lens = (0..600).chain([1 << 10, 4 << 10, 5551, 5552, 5553, 11_104, 65_536, 69_000]);
            for len in lens {
                for start in [1, 0xfff0_fff0] {
                    agree(routines, start, &data[offset..offset + len])?;
                }
            }
        }
    }
    Ok(())
}

fn agree(routines: &[Routine], start: u32, data: &[u8]) -> Result<()> {
    let expected = definition(routine::checksum(start), data).value();
    for routine in routines
        .iter()
        .filter(|routine| routine.role != Role::Limit)
    {
        let found = routine.value(start, data);
        ensure!(
            found == expected,
            "{} returns {found:08x} for {} bytes from {start:08x}, not {expected:08x}",
            routine.name,
            data.len()
        );
    }
    Ok(())
}

/// Times all routines on the same data, in turns.
pub fn measure(
    routines: &[&Routine],
    calls: Calls,
    buffer: &Buffer,
    offset: usize,
    bytes: usize,
    effort: Effort,
) -> Result<Vec<Measurement>> {
    let data = &buffer[offset..offset + bytes];
    let contenders = routines.iter().map(|routine| {
        let time = |count| Ok(routine.time(calls, data, count));
        Contender::repeated(&routine.name, effort.batch, time)
    });
    let figures = contender::measure(1, contenders.collect::<Result<_>>()?, effort.rounds)?;
    let measurement = |(routine, figure): (&&Routine, _)| {
        let [best_ns, median_ns] = nanoseconds(&figure);
        Measurement {
            name: routine.name.clone(),
            role: routine.role,
            calls,
            offset,
            bytes,
            best_ns,
            median_ns,
            best_gb_s: bytes as f64 / best_ns,
            median_gb_s: bytes as f64 / median_ns,
        }
    };
    Ok(routines.iter().zip(figures).map(measurement).collect())
}

/// Returns the times of a call, in the best batch and in the median one.
pub fn nanoseconds(figure: &Figure) -> [f64; 2] {
    [1.0 / figure.rates.best, 1.0 / figure.rates.median]
}
