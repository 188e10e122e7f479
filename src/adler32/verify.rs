// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The tests that an implementation must pass before it is used.

use core::ops::RangeInclusive;

use super::{
    Adler32,
    Implementation,
    Platform,
    Runnable,
    MODULUS, //
};

/// Data with published or independently computed checksums.
const KNOWN_ANSWERS: [(&[u8], u32); 6] = [
    (b"", 0x0000_0001),
    (b"a", 0x0062_0062),
    (b"abc", 0x024d_0127),
    (b"abcde", 0x05c8_01f0),
    (b"Wikipedia", 0x11e6_0398),
    (&[0xff; 5553], 0x8e29_9c8b),
];

/// The number of bytes of scratch memory that [`verify`] uses.
pub const SCRATCH_LEN: usize = 33 * 1024;

/// All lengths up to this one are tried.
const SHORT: usize = 160;

/// All lengths in this range are tried, too. The kernel uses vector registers from its start on.
/// The range includes all remainders of the longest row of vectors, which has 256 bytes, in rows
/// and in columns, and data that begin at each byte of a cache line.
pub const LONG: RangeInclusive<usize> = 2048..=2560 + 256;

/// Lengths around which implementations switch to other code: vector blocks, unrolled blocks, and
/// the chunks after which sums are reduced.
const BOUNDARIES: [usize; 9] = [256, 512, 1024, 2048, 4096, 5552, 8192, 2 * 5552, 32 * 1024];

/// The largest value: both sums are one less than the modulus.
const WORST_START: u32 = 0xfff0_fff0;

/// A wrong result of an implementation.
#[derive(Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Length of the data, in bytes.
    pub len: usize,
    /// The start value.
    pub start: u32,
    /// The correct result.
    pub expected: u32,
    /// The result that the implementation returned.
    pub found: u32,
}

/// Compares `candidate` with the known answers, and with `reference` on many lengths, on random
/// bytes and on the bytes that make the sums largest.
///
/// `scratch` is memory for the data. Lengths that do not fit in it are skipped, and [`SCRATCH_LEN`]
/// bytes are enough for all of them.
pub fn verify<P: Platform>(
    candidate: &Runnable<P>,
    reference: &Runnable<P>,
    scratch: &mut [u8],
) -> Result<(), Mismatch> {
    for (data, expected) in KNOWN_ANSWERS {
        let found = candidate.update(Adler32::EMPTY, data).value();
        if found != expected {
            return Err(Mismatch {
                len: data.len(),
                start: Adler32::EMPTY.value(),
                expected,
                found,
            });
        }
    }

    fill_random(scratch);
    compare_lengths(candidate, reference, scratch)?;
    scratch.fill(0xff);
    compare_lengths(candidate, reference, scratch)
}

fn compare_lengths<P: Platform>(
    candidate: &Runnable<P>,
    reference: &Runnable<P>,
    data: &[u8],
) -> Result<(), Mismatch> {
    for len in (0..=SHORT).chain(LONG) {
        let from_any_alignment = data.get(len % 64..).unwrap_or_default();
        compare(candidate, reference, from_any_alignment, len)?;
    }
    for boundary in BOUNDARIES {
        for len in boundary - 2..=boundary + 2 {
            compare(candidate, reference, data, len)?;
        }
    }
    compare(candidate, reference, data, data.len())
}

/// Compares `candidate` and `reference` on the first `len` bytes, if `data` is long enough.
fn compare<P: Platform>(
    candidate: &Runnable<P>,
    reference: &Runnable<P>,
    data: &[u8],
    len: usize,
) -> Result<(), Mismatch> {
    let Some(data) = data.get(..len) else {
        return Ok(());
    };
    for start in [1, WORST_START] {
        let Some(start) = Adler32::from_value(start) else {
            continue;
        };
        let expected = reference.update(start, data).value();
        let found = candidate.update(start, data).value();
        if found != expected {
            return Err(Mismatch {
                len,
                start: start.value(),
                expected,
                found,
            });
        }
    }
    Ok(())
}

/// Fills `bytes` with xorshift32 (Marsaglia, 2003).
fn fill_random(bytes: &mut [u8]) {
    let mut x: u32 = 0x9e37_79b9;
    for byte in bytes {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        *byte = (x >> 24) as u8;
    }
}

/// Computes the checksum as it is defined, with a reduction after every byte.
pub fn definition(start: Adler32, data: &[u8]) -> Adler32 {
    let reduce = |sum: u64| sum.checked_sub(MODULUS.into()).unwrap_or(sum);
    let (s1, s2) = data.iter().fold(start.sums(), |(s1, s2), &byte| {
        let s1 = reduce(s1 + u64::from(byte));
        (s1, reduce(s2 + s1))
    });
    Adler32::reduce(s1, s2)
}

/// The implementation that [`super::PORTABLE`] is compared with.
pub const DEFINITION: Implementation = Implementation::new("definition", definition);
