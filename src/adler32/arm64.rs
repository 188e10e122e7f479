// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Vector implementations for arm64.
//!
//! # Arithmetic
//!
//! Data of more than 256 bytes are cut into a head and rows of `R` bytes. The head is shorter than
//! a row, and is summed first, so that its checksum is the start value of the rows. Byte `i` of a
//! row has the weight `R - i`, and `S[r]` is the plain sum of row `r`. The two sums of [`Sums`] for
//! `m` rows are
//!
//! ```text
//! plain    = S[0] + ... + S[m-1]
//! weighted = (the weighted sums of the rows) + R * ((m-1) * S[0] + (m-2) * S[1] + ... + S[m-2])
//! ```
//!
//! The last term is `R` times `before`, which is the sum of the values of `plain` before each row.
//! So there are three accumulators: `plain`, `before` and `weighted`. Each is a vector of lanes,
//! which are added up at the end.
//!
//! Heads, and all data of up to 256 bytes, are summed with a weight for each byte. These weights
//! are unsigned bytes, from 255 to 0: they are lowered by 1, so that 256 of them exist. At the end,
//! `plain` is added.
//!
//! # Why assembly
//!
//! As for x86-64, the kernel is compiled without vector instructions, so each `asm!` contains a
//! whole computation, from the bytes to sums in general registers. In the kernel, the assembler
//! accepts vector instructions only after a line `.arch_extension`.

pub(super) mod neon;
pub(super) mod neon_dotprod;

use super::{
    portable,
    Adler32,
    Sums,
    LONGEST_SHORT, //
};

/// The number of bytes in a vector.
const VECTOR: usize = 16;

/// The largest number of bytes that are summed with a weight for each byte.
const MOST_WEIGHTS: usize = 256;

/// Continues a checksum over `data`. `head` sums up to [`MOST_WEIGHTS`] bytes, and `rows` continues
/// a checksum over more.
///
/// # Safety
///
/// The processor must have the features that `head` and `rows` require, and the caller must allow
/// this function to change the vector registers.
#[inline(always)]
unsafe fn update(
    start: Adler32,
    data: &[u8],
    head: unsafe fn(&[u8], usize) -> Sums,
    rows: unsafe fn(Adler32, &[u8]) -> Adler32,
) -> Adler32 {
    // SAFETY: The caller guarantees the features. The condition and the patterns check the lengths.
    unsafe {
        if data.len() > MOST_WEIGHTS {
            return rows(start, data);
        }
        match data.len() {
            0..=15 => portable(start, data),
            16..=32 => start.append_tiny(data.len(), neon::up_to_32(data)),
            _ => start.append_tiny(data.len(), head(data, data.len())),
        }
    }
}

/// Continues a checksum over `data`, which is longer than [`MOST_WEIGHTS`]: with `head` over the
/// bytes before the last whole steps of `STEP` bytes, and with `chunk` over up to `CHUNK` bytes of
/// these steps at a time.
///
/// # Safety
///
/// The processor must have the features that `head` and `chunk` require, and the caller must allow
/// this function to change the vector registers.
#[inline(always)]
unsafe fn rows<const STEP: usize, const CHUNK: usize>(
    start: Adler32,
    data: &[u8],
    head: unsafe fn(&[u8], usize) -> Sums,
    chunk: unsafe fn(&[u8]) -> Sums,
) -> Adler32 {
    const { assert!(STEP <= MOST_WEIGHTS && LONGEST_SHORT <= CHUNK && CHUNK % STEP == 0) };
    let (first, rest) = data.split_at(data.len() % STEP);
    // SAFETY: The caller guarantees the features. `data` has more than a vector. The patterns and
    // `STEP` limit the length of `first`.
    let sums = unsafe {
        match first.len() {
            0 => Sums::NONE,
            len @ 1..=VECTOR => neon::up_to_16(data, len),
            len => head(data, len),
        }
    };
    if data.len() <= LONGEST_SHORT {
        // SAFETY: The caller guarantees the features. The length of `rest` is a multiple of `STEP`,
        // and not 0, because `data` is longer than `MOST_WEIGHTS`.
        let rest_sums = unsafe { chunk(rest) };
        return start.append_short(data.len(), sums.then(rest.len(), rest_sums));
    }
    let start = start.append_tiny(first.len(), sums);
    rest.chunks(CHUNK).fold(start, |sum, part| {
        // SAFETY: The caller guarantees the features. `CHUNK` and the length of `rest` are
        // multiples of `STEP`.
        sum.append(part.len(), unsafe { chunk(part) })
    })
}

/// The constants that both implementations load, aligned to a cache line.
#[repr(C, align(64))]
struct Tables {
    /// 255, 254, ..., 0 and then 16 zeros. A load can begin at any weight.
    weights: [u8; MOST_WEIGHTS + VECTOR],
    /// 16 times 0xff, 16 zeros, and 16 times 0xff. A load can return a mask of the first or of the
    /// last bytes of 16.
    masks: [u8; 3 * VECTOR],
    /// 16-bit weights of the pairs of bytes in a row of 64 bytes: 64, 62, ..., 2.
    pair_weights: [u16; 32],
}

// The compiler evaluates this and checks the indices.
static TABLES: Tables = {
    let mut weights = [0; MOST_WEIGHTS + VECTOR];
    let mut i = 0;
    while i < MOST_WEIGHTS {
        weights[i] = (MOST_WEIGHTS - 1 - i) as u8;
        i += 1;
    }
    let mut masks = [0xff; 3 * VECTOR];
    let mut i = VECTOR;
    while i < 2 * VECTOR {
        masks[i] = 0;
        i += 1;
    }
    let mut pair_weights = [0; 32];
    let mut i = 0;
    while i < 32 {
        pair_weights[i] = 64 - 2 * i as u16;
        i += 1;
    }
    Tables {
        weights,
        masks,
        pair_weights,
    }
};

impl Tables {
    /// Returns the address of the weights from `first` down.
    #[inline(always)]
    fn weights_from(&self, first: usize) -> *const u8 {
        self.weights.as_ptr().wrapping_add(255 - first)
    }

    /// Returns the address of a mask of the first `len` bytes of a vector.
    #[inline(always)]
    fn mask_of_first(&self, len: usize) -> *const u8 {
        self.masks.as_ptr().wrapping_add(VECTOR - len)
    }

    /// Returns the address of a mask of the last `len` bytes of a vector.
    #[inline(always)]
    fn mask_of_last(&self, len: usize) -> *const u8 {
        self.masks.as_ptr().wrapping_add(VECTOR + len)
    }
}

impl Sums {
    /// The sums of no bytes.
    const NONE: Self = Self {
        plain: 0,
        weighted: 0,
    };

    /// Returns the sums of these bytes and of `len` more, which have the sums `others`.
    #[inline(always)]
    fn then(self, len: usize, others: Self) -> Self {
        Self {
            plain: self.plain + others.plain,
            weighted: self.weighted + len as u64 * self.plain + others.weighted,
        }
    }
}

/// Returns the number of bytes in the first vector of data with this length. Only the first vector
/// may be short.
#[inline(always)]
fn first_vector(len: usize) -> usize {
    (len - 1) % VECTOR + 1
}
