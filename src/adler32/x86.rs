// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Vector implementations for x86-64.
//!
//! # Arithmetic
//!
//! The data is cut into `m` rows of `R` bytes. Only the first row may be short. It then lacks its
//! first bytes, which has the same effect as if these were zero. Byte `i` of a row has the weight
//! `R - i`, and `S[r]` is the plain sum of row `r`. The two sums of [`Sums`] are
//!
//! ```text
//! plain    = S[0] + ... + S[m-1]
//! weighted = (the weighted sums of the rows) + R * ((m-1) * S[0] + (m-2) * S[1] + ... + S[m-2])
//! ```
//!
//! The last term is `R` times `before`, which is the sum of the values of `plain` before each row.
//! So there are three accumulators: `plain`, `before` and `weighted`. Each is a vector of 32-bit
//! lanes, which are added up at the end.
//!
//! The instructions multiply unsigned bytes of data by signed bytes of weights. To allow long rows
//! and keep the sums small, the weights `R..=1` are lowered by `B = R / 2 + 1`, which centers them
//! around zero. At the end, `B * plain` is added.
//!
//! # Why assembly
//!
//! The kernel is compiled without vector instructions. There, the compiler's intrinsics do not
//! work, and vector registers cannot be operands of `asm!` or keep their values from one `asm!` to
//! the next. So each `asm!` contains a whole computation, from the bytes to sums in general
//! registers.

pub(super) mod avx2;
pub(super) mod avx512_vnni;

use super::{
    portable,
    Adler32,
    Sums,
    LONGEST_SHORT, //
};

/// The constants that both implementations load, aligned to a cache line.
#[repr(C, align(64))]
struct Tables {
    /// 127, 126, ..., -128 and then 64 zeros. A load can begin at any weight.
    weights: [i8; 320],
    /// Bytes of 1.
    ones: [u8; 32],
    /// 16-bit lanes of 1.
    wide_ones: [i16; 16],
    /// The smallest signed values of 16-bit lanes.
    smallest: [i16; 16],
    /// 16-bit lanes of 257, the inverse of -255 modulo 2^16.
    inverse: [i16; 16],
    /// 16-bit weights of the even bytes of a row of 64 bytes, lowered by 33.
    even_weights: [i16; 32],
    /// The same for the odd bytes.
    odd_weights: [i16; 32],
    /// 16 zeros, 32 times 0xff, and 32 zeros. A load can return a mask of the last bytes of 16, or
    /// of the first bytes of 32.
    masks: [u8; 80],
}

/// The first of [`Tables::weights`].
const TOP_WEIGHT: usize = 127;

// The compiler evaluates this and checks the indices.
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
    /// Returns the address of the last `len` weights of a row of `row` bytes, which are lowered by
    /// `row / 2 + 1`.
    #[inline(always)]
    fn last_weights(&self, row: usize, len: usize) -> *const i8 {
        self.weights.as_ptr().wrapping_add(128 + row / 2 - len)
    }
}

impl Sums {
    /// Takes both sums from one register: `plain` from the upper half, and `weighted`, which may be
    /// signed, from the lower half.
    #[inline(always)]
    fn from_halves(halves: u64) -> Self {
        Self {
            plain: halves >> 32,
            weighted: halves & 0xffff_ffff,
        }
    }
}
