// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Vector implementations for x86-64.
//!
//! # Arithmetic
//!
//! The data is cut into rows of a fixed number of bytes `R`, of which only the first may be short;
//! it then lacks its first bytes, which is as if they were zero. With `S[r]` the plain sum of row
//! `r` of `m`, and byte `i` of a row weighing `R - i`, the two sums are ([`Sums`])
//!
//! ```text
//! plain    = S[0] + ... + S[m-1]
//! weighted = (the weighted sums of the rows) + R * ((m-1) * S[0] + (m-2) * S[1] + ... + S[m-2])
//! ```
//!
//! The last term is `R` times a running sum of what `plain` was before each row, called `before`.
//! So there are three accumulators, each a vector of 32-bit lanes that are added up in the end:
//! `plain`, `before` and `weighted`.
//!
//! The instructions take weights that are signed bytes, while bytes of data are unsigned. So that
//! rows can be long and sums short, the weights `R..=1` are lowered by `B = R / 2 + 1` to lie about
//! zero, and `B * plain` is added in the end.
//!
//! # Why assembly
//!
//! The kernel is compiled without vector instructions: there, the compiler's own vector functions
//! do not work, and vector registers can neither be operands nor be kept from one `asm!` to the
//! next. So each of them holds a whole computation, from bytes to sums in general registers.

pub(super) mod avx2;
pub(super) mod avx512_vnni;

use super::portable;
use super::Adler32;
use super::Sums;
use super::LONGEST_SHORT;

/// What both implementations load; aligned to a cache line.
#[repr(C, align(64))]
struct Tables {
    /// 127, 126, ..., -128 and then zeros. Loads can begin with any weight.
    weights: [i8; 320],
    /// Bytes of one.
    ones: [u8; 32],
    /// 16-bit lanes of one.
    wide_ones: [i16; 16],
    /// The smallest signed 16-bit lanes.
    smallest: [i16; 16],
    /// 16-bit lanes of 257, the inverse of -255 modulo 2^16.
    inverse: [i16; 16],
    /// 16-bit weights of the even bytes of a row of 64 bytes, lowered by 33, and of the odd ones.
    even_weights: [i16; 32],
    odd_weights: [i16; 32],
    /// 16 zeros, 32 times 0xff, 32 zeros. Loads can make a mask of the last bytes of 16, or of the
    /// first of 32.
    masks: [u8; 80],
}

/// The weight with which [`Tables::weights`] begins.
const TOP_WEIGHT: usize = 127;

// Evaluated by the compiler, the bounds of the indices included.
static TABLES: Tables = {
    let mut weights = [0; 320];
    let mut i = 0;
    while i < 256 {
        weights[i] = (TOP_WEIGHT as i32 - i as i32) as i8;
        i += 1;
    }
    let mut masks = [0; 80];
    let mut i = 16;
    while i < 16 + 32 {
        masks[i] = 0xff;
        i += 1;
    }
    let mut even_weights = [0; 32];
    let mut odd_weights = [0; 32];
    let mut i = 0;
    while i < 32 {
        even_weights[i] = 31 - 2 * i as i16;
        odd_weights[i] = 30 - 2 * i as i16;
        i += 1;
    }
    Tables {
        weights,
        ones: [1; 32],
        wide_ones: [1; 16],
        smallest: [i16::MIN; 16],
        inverse: [257; 16],
        even_weights,
        odd_weights,
        masks,
    }
};

impl Tables {
    /// Returns where the last `len` weights of a row of `row` bytes begin, lowered by
    /// `row / 2 + 1`.
    #[inline(always)]
    fn last_weights(&self, row: usize, len: usize) -> *const i8 {
        self.weights.as_ptr().wrapping_add(128 + row / 2 - len)
    }
}

impl Sums {
    /// Takes both from one register: `plain` in the upper half, `weighted` in the lower, where it
    /// may be signed.
    #[inline(always)]
    fn from_halves(halves: u64) -> Self {
        Self {
            plain: halves >> 32,
            weighted: halves & 0xffff_ffff,
        }
    }
}
