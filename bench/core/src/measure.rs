// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Taking times.

use std::time::Duration;

use anyhow::ensure;
use anyhow::Result;
use serde::Serialize;

use crate::buffer::Buffer;
use crate::contender::Contender;
use crate::contender::Mode;
use crate::contender::Role;

/// The lengths of data, in bytes.
pub const SIZES: [usize; 8] = [16, 64, 256, 1 << 10, 4 << 10, 64 << 10, 1 << 20, 64 << 20];

/// Where the data begin, from a multiple of 64.
pub const OFFSETS: [usize; 2] = [0, 1];

/// How much is done for a figure.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Batches of each contender.
    pub batches: usize,
    /// What a batch takes at least.
    pub batch: Duration,
}

impl Effort {
    pub const FULL: Self = Self {
        batches: 41,
        batch: Duration::from_micros(1500),
    };
    /// Shows that all works, and figures not to be relied on.
    pub const QUICK: Self = Self {
        batches: 3,
        batch: Duration::from_micros(200),
    };
}

/// What was found for a contender on some data.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    pub name: String,
    #[serde(flatten)]
    pub role: Role,
    pub mode: Mode,
    pub offset: usize,
    pub bytes: usize,
    /// Nanoseconds for a call, of the best batch and of the median one.
    pub best_ns: f64,
    pub median_ns: f64,
    /// 10^9 bytes in a second, likewise.
    pub best_gb_s: f64,
    pub median_gb_s: f64,
}

/// Checks that all contenders agree, on data that make sums largest, too.
pub fn check(contenders: &[Contender]) -> Result<()> {
    let random = Buffer::random(70_000);
    let ones = vec![0xff; 70_000];
    for data in [&*random, &ones] {
        for offset in OFFSETS {
            let lens = (0..600).chain([1 << 10, 4 << 10, 5551, 5552, 5553, 11_104, 65_536, 69_000]);
            for len in lens {
                for start in [1, 0xfff0_fff0] {
                    agree(contenders, start, &data[offset..offset + len])?;
                }
            }
        }
    }
    Ok(())
}

fn agree(contenders: &[Contender], start: u32, data: &[u8]) -> Result<()> {
    let expected = adler32::algorithm::verify::definition(
        adler32::Adler32::from_value(start).expect("a value that data can have"),
        data,
    );
    let expected = expected.value();
    for contender in contenders {
        if contender.role == Role::Limit {
            continue;
        }
        let found = contender.value(start, data);
        ensure!(
            found == expected,
            "{} returns {found:08x} for {} bytes from {start:08x}, and not {expected:08x}",
            contender.name,
            data.len()
        );
    }
    Ok(())
}

/// Times all contenders on the same data, by turns, so that whatever else happens on the machine
/// happens to all of them.
pub fn measure(
    contenders: &[&Contender],
    mode: Mode,
    buffer: &Buffer,
    offset: usize,
    bytes: usize,
    effort: Effort,
) -> Vec<Figure> {
    let data = &buffer[offset..offset + bytes];
    let calls: Vec<u64> = contenders
        .iter()
        .map(|contender| calls(contender, mode, data, effort.batch))
        .collect();
    let mut times = vec![Vec::with_capacity(effort.batches); contenders.len()];
    for _ in 0..effort.batches {
        for ((contender, &calls), times) in contenders.iter().zip(&calls).zip(&mut times) {
            let time = contender.time(mode, data, calls);
            times.push(time.as_nanos() as f64 / calls as f64);
        }
    }
    contenders
        .iter()
        .zip(times)
        .map(|(contender, mut times)| {
            times.sort_by(f64::total_cmp);
            let (best_ns, median_ns) = (times[0], times[times.len() / 2]);
            Figure {
                name: contender.name.clone(),
                role: contender.role,
                mode,
                offset,
                bytes,
                best_ns,
                median_ns,
                best_gb_s: bytes as f64 / best_ns,
                median_gb_s: bytes as f64 / median_ns,
            }
        })
        .collect()
}

/// Returns how many calls fill a batch. Warms up on the way.
fn calls(contender: &Contender, mode: Mode, data: &[u8], batch: Duration) -> u64 {
    let mut calls = 1;
    loop {
        let time = contender.time(mode, data, calls);
        if time >= batch / 4 {
            let wanted = calls as f64 * batch.as_secs_f64() / time.as_secs_f64();
            return wanted.ceil() as u64;
        }
        calls *= 2;
    }
}
