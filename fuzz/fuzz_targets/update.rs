// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Compares every implementation that this processor can run with the definition. The start value,
//! the data and their place in memory are arbitrary. The data are passed in one piece and in
//! several, and the checksums of the pieces are combined.
//!
//! libFuzzer, which is written in C++, chooses the inputs. Without it, for processors that are
//! emulated, the inputs are random.

#![cfg_attr(feature = "libfuzzer", no_main)]

use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

use adler32::algorithm::verify::definition;
use adler32::processor::runnable;
use adler32::Adler32;
use adler32::MODULUS;
use guarded::Guarded;
use guarded::PAGE;
#[cfg(feature = "libfuzzer")]
use libfuzzer_sys::arbitrary;
#[cfg(feature = "libfuzzer")]
use libfuzzer_sys::arbitrary::Arbitrary;
#[cfg(feature = "libfuzzer")]
use libfuzzer_sys::fuzz_target;

/// The longest data: several chunks of the implementations with vectors.
const LONGEST: usize = 160 * 1024;

/// The bytes of a cache line.
const LINE: usize = 64;

#[cfg_attr(feature = "libfuzzer", derive(Arbitrary))]
#[derive(Debug)]
struct Input<'a> {
    start: (u16, u16),
    /// Whether the data end near the end of the readable memory, or begin near its beginning.
    at_end: bool,
    /// How many bytes are between the data and that end or beginning.
    distance: u8,
    /// Where the data are split.
    cuts: [u32; 3],
    /// How often `bytes` are repeated to make the data, so that a short input makes long data.
    times: u16,
    bytes: &'a [u8],
}

#[cfg(feature = "libfuzzer")]
fuzz_target!(|input: Input| check(&input));

/// Tries random inputs for as many seconds as the first argument says. The second argument is the
/// seed that chooses them.
#[cfg(not(feature = "libfuzzer"))]
fn main() {
    let number = |argument: String| argument.parse().expect("a number");
    let mut arguments = std::env::args().skip(1).map(number);
    let seconds = arguments.next().expect("the number of seconds");
    let seed = arguments.next().unwrap_or_else(|| fastrand::u64(..));
    println!("random inputs from the seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let begin = std::time::Instant::now();
    let mut inputs = 0;
    while begin.elapsed().as_secs() < seconds {
        let digits = random.u32(..14);
        let mut bytes = vec![0xff; random.usize(..=1 << digits)];
        if random.bool() {
            random.fill(&mut bytes);
        }
        check(&Input {
            start: (random.u16(..), random.u16(..)),
            at_end: random.bool(),
            distance: random.u8(..),
            cuts: [(); 3].map(|()| random.u32(..)),
            times: if random.bool() { 1 } else { random.u16(..) },
            bytes: &bytes,
        });
        inputs += 1;
    }
    println!("{inputs} inputs: all implementations compute what the definition does");
}

fn check(input: &Input) {
    let start = sum(input.start);
    let most = LONGEST / input.bytes.len().max(1);
    let data = input.bytes.repeat(most.min(input.times.into()));
    let expected = definition(start, &data);

    let distance = usize::from(input.distance) % LINE;
    let room = (data.len() + distance).next_multiple_of(PAGE);
    let begin = match input.at_end {
        true => room - distance - data.len(),
        false => distance,
    };
    let place = begin..begin + data.len();
    let memory = Guarded::new(room, |bytes| {
        bytes.fill(0xff);
        bytes[place.clone()].copy_from_slice(&data);
    });
    let guarded = &memory[place];

    let mut cuts = input.cuts.map(|cut| cut as usize % (data.len() + 1));
    cuts.sort_unstable();
    let [a, b, c] = cuts;
    let pieces = [0..a, a..b, b..c, c..data.len()].map(|piece| &guarded[piece]);
    for piece in pieces.into_iter().chain([guarded]) {
        feature(piece);
    }

    for implementation in runnable() {
        let name = implementation.name();
        // AddressSanitizer checks accesses to the heap, but not those of assembly code. The pages
        // around the guarded memory stop both.
        assert_eq!(implementation.update(start, &data), expected, "{name}");
        assert_eq!(implementation.update(start, guarded), expected, "{name}");

        let running = pieces
            .into_iter()
            .fold(start, |sum, piece| implementation.update(sum, piece));
        assert_eq!(running, expected, "{name}, in pieces of {cuts:?}");

        let combined = pieces.into_iter().fold(start, |sum, piece| {
            let next = implementation.update(Adler32::EMPTY, piece);
            sum.combine(next, piece.len() as u64)
        });
        assert_eq!(combined, expected, "{name}, combined of {cuts:?}");
    }
}

/// Makes a checksum from two sums of any size.
fn sum((s1, s2): (u16, u16)) -> Adler32 {
    let [s1, s2] = [s1, s2].map(|sum| u32::from(sum) % MODULUS);
    Adler32::from_value(s2 << 16 | s1).expect("both are reduced")
}

/// Counts the length and the alignment of `data` as coverage, because libFuzzer gets none from
/// assembly code. Each length up to 255 counts, then each of 128 ranges between two powers of two.
fn feature(data: &[u8]) {
    #[used]
    #[link_section = "__libfuzzer_extra_counters"]
    static LENGTHS: [AtomicU8; 11 * 128 + 256] = [const { AtomicU8::new(0) }; 11 * 128 + 256];
    #[used]
    #[link_section = "__libfuzzer_extra_counters"]
    static ALIGNMENTS: [AtomicU8; LINE] = [const { AtomicU8::new(0) }; LINE];

    let digits = data.len().max(1).ilog2().saturating_sub(7);
    let range = digits as usize * 128 + (data.len() >> digits);
    LENGTHS[range].store(1, Relaxed);
    ALIGNMENTS[data.as_ptr() as usize % LINE].store(1, Relaxed);
}
