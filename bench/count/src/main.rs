// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Counts the instructions that the implementations for arm64 and those of other libraries take.
//!
//! `make bench-count` runs this program in a guest in which each instruction takes one nanosecond.
//! Elsewhere, the figures are times.

use std::hint::black_box;
use std::time::Instant;

use adler32::algorithm::Runnable;
use adler32::processor;
use adler32::processor::Processor;
use adler32::Adler32;

// For the function that it does not declare.
use libz_ng_sys as _;

mod c {
    use std::ffi::c_void;

    extern "C" {
        pub fn zng_adler32_z(adler: u32, buf: *const u8, len: usize) -> u32;
        pub fn bench_libdeflate_neon(adler: u32, buf: *const c_void, len: usize) -> u32;
    }
}

/// The lengths of the data.
const SIZES: [usize; 19] = [
    16,
    17,
    32,
    48,
    64,
    100,
    128,
    256,
    500,
    1024,
    1025,
    1089,
    1151,
    1500,
    2047,
    4096,
    16 * 1024,
    64 * 1024,
    1024 * 1024,
];
/// A batch has about this many instructions, so that most batches are not interrupted.
const BATCH: usize = 300_000;
/// The number of batches. The one with the fewest instructions counts.
const BATCHES: usize = 15;

/// What a function uses of the processor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    General,
    Neon,
    Dotprod,
}

/// A function that is counted.
struct Contender {
    name: String,
    level: Level,
    is_ours: bool,
    value: Box<dyn Fn(u32, &[u8]) -> u32>,
    /// Returns how long this many calls take, in nanoseconds.
    time: Box<dyn Fn(&[u8], usize) -> u64>,
}

impl Contender {
    fn new(
        name: &str,
        level: Level,
        is_ours: bool,
        update: impl Fn(u32, &[u8]) -> u32 + Copy + 'static,
    ) -> Self {
        Self {
            name: name.to_owned(),
            level,
            is_ours,
            value: Box::new(update),
            time: Box::new(move |data, calls| time(update, data, calls)),
        }
    }

    fn ours(runnable: Runnable<Processor>) -> Self {
        let level = match runnable.name() {
            "portable" => Level::General,
            "neon" => Level::Neon,
            _ => Level::Dotprod,
        };
        let name = format!("adler32 {}", runnable.name());
        Self::new(&name, level, true, move |sum, data| {
            let start = Adler32::from_value(sum).expect("a value that data can have");
            runnable.update(start, data).value()
        })
    }

    /// Returns the number of instructions that a call takes.
    fn count(&self, data: &[u8]) -> f64 {
        let least = |calls| (0..BATCHES).map(|_| (self.time)(data, calls)).min();
        let calls = BATCH.div_ceil(data.len() + 100);
        let (none, all) = (least(0).unwrap_or(0), least(calls).unwrap_or(0));
        all.saturating_sub(none) as f64 / calls as f64
    }
}

// The compiler makes this loop for each contender alone, without any other call in it.
#[inline(never)]
fn time(update: impl Fn(u32, &[u8]) -> u32, data: &[u8], calls: usize) -> u64 {
    let begin = Instant::now();
    for _ in 0..calls {
        black_box(update(1, black_box(data)));
    }
    begin.elapsed().as_nanos() as u64
}

fn peers() -> [Contender; 5] {
    let peer =
        |name, level, update: fn(u32, &[u8]) -> u32| Contender::new(name, level, false, update);
    [
        // SAFETY: The functions only read the data.
        peer("libdeflate", Level::Dotprod, |sum, data| unsafe {
            libdeflate_sys::libdeflate_adler32(sum, data.as_ptr().cast(), data.len())
        }),
        // SAFETY: As above.
        peer("libdeflate neon", Level::Neon, |sum, data| unsafe {
            c::bench_libdeflate_neon(sum, data.as_ptr().cast(), data.len())
        }),
        // SAFETY: As above.
        peer("zlib-ng", Level::Neon, |sum, data| unsafe {
            c::zng_adler32_z(sum, data.as_ptr(), data.len())
        }),
        peer("zlib-rs", Level::Neon, zlib_rs::adler32::adler32),
        peer("simd-adler32", Level::Neon, |sum, data| {
            let mut adler = simd_adler32::Adler32::from_checksum(sum);
            adler.write(data);
            adler.finish()
        }),
    ]
}

fn print_row(name: &str, cells: impl Iterator<Item = String>) {
    print!("{name:<22}");
    cells.for_each(|cell| print!("{cell:>9}"));
    println!();
}

fn main() {
    let longest = SIZES[SIZES.len() - 1];
    let data: Vec<u8> = (0..longest).map(|i| (i * 7 + i / 256) as u8).collect();
    let ours = processor::runnable().map(Contender::ours);
    let contenders: Vec<_> = ours.chain(peers()).collect();
    for contender in &contenders {
        for len in SIZES {
            let expected = adler32::algorithm::portable(Adler32::EMPTY, &data[..len]);
            let found = (contender.value)(1, &data[..len]);
            assert_eq!(found, expected.value(), "{}, {len} bytes", contender.name);
        }
    }

    println!("Instructions per byte");
    print_row("", SIZES.iter().map(usize::to_string));
    let mut counts = Vec::new();
    for contender in &contenders {
        let row = SIZES.map(|len| contender.count(&data[..len]));
        let per_byte = row.iter().zip(SIZES).map(|(count, len)| count / len as f64);
        print_row(
            &contender.name,
            per_byte.map(|figure| format!("{figure:.3}")),
        );
        counts.push(row);
    }

    println!("\nInstructions, relative to the best peer of the same class or of a lower class");
    for (ours, row) in contenders
        .iter()
        .zip(&counts)
        .filter(|(one, _)| one.is_ours)
    {
        let peers = || {
            let all = contenders.iter().zip(&counts);
            all.filter(|(peer, _)| !peer.is_ours && peer.level <= ours.level)
        };
        if peers().next().is_none() {
            continue;
        }
        let ratios = (0..SIZES.len()).map(|i| {
            let best = peers().map(|(_, row)| row[i]).fold(f64::INFINITY, f64::min);
            format!("{:.2}", row[i] / best)
        });
        print_row(&ours.name, ratios);
    }
}
