// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Compares every implementation that this processor can run with the definition. The start value,
//! the data and their place in memory are arbitrary. The data are passed in one piece and in
//! several, and the checksums of the pieces are combined.

#![no_main]

use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

use adler32::algorithm::verify::definition;
use adler32::processor::runnable;
use adler32::Adler32;
use adler32::MODULUS;
use guarded::Guarded;
use guarded::PAGE;
use libfuzzer_sys::arbitrary;
use libfuzzer_sys::arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;

/// The longest data: several chunks of the implementations with vectors.
const LONGEST: usize = 160 * 1024;

/// The bytes of a cache line.
const LINE: usize = 64;

#[derive(Arbitrary, Debug)]
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

fuzz_target!(|input: Input| {
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
});

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
