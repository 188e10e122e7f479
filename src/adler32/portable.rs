// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The definition, a byte at a time, with the reduction put off as long as the sums fit.

use super::Adler32;
use super::MODULUS;

/// How many bytes can be added before `s2` must be reduced: the largest `n` for which
/// `255 * n * (n + 1) / 2 + (n + 1) * (MODULUS - 1)`, the sum reached by bytes of 255 from the
/// largest start values, fits in 32 bits.
const CHUNK: usize = {
    let mut n = 0;
    while worst_sum(n + 1) <= u32::MAX as u64 {
        n += 1;
    }
    n as usize
};

const fn worst_sum(n: u64) -> u64 {
    255 * n * (n + 1) / 2 + (n + 1) * (MODULUS as u64 - 1)
}

/// Continues a checksum over the bytes given.
pub fn update(start: Adler32, data: &[u8]) -> Adler32 {
    data.chunks(CHUNK).fold(start, |sum, chunk| {
        let (mut s1, mut s2) = (sum.value() & 0xffff, sum.value() >> 16);
        for &byte in chunk {
            // No overflow: see `CHUNK`.
            s1 = s1.wrapping_add(byte.into());
            s2 = s2.wrapping_add(s1);
        }
        Adler32::reduce(s1, s2)
    })
}
