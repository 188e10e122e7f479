// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What no checksum can pass: reading the data once, and copying it.

use std::arch::is_x86_feature_detected;
use std::arch::x86_64::*;
use std::ptr;
use std::ptr::NonNull;

use crate::buffer::Buffer;

/// Reads all bytes, in the widest vectors that the processor has, and does no more with them than
/// it takes to have read them.
pub struct Read {
    name: &'static str,
    read: unsafe fn(&[u8]) -> u32,
}

impl Read {
    pub fn widest() -> Self {
        if is_x86_feature_detected!("avx512bw") {
            Self {
                name: "read, 512 bits",
                read: read_512,
            }
        } else if is_x86_feature_detected!("avx2") {
            Self {
                name: "read, 256 bits",
                read: read_256,
            }
        } else {
            Self {
                name: "read, 128 bits",
                read: read_128,
            }
        }
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns something that all of the data has an effect on.
    #[inline(always)]
    pub fn read(&self, data: &[u8]) -> u32 {
        // SAFETY: The function was chosen for this processor.
        unsafe { (self.read)(data) }
    }
}

/// Vectors that are read at once.
const ROW: usize = 8;

macro_rules! read {
    ($name:ident, $features:literal, $vector:ty, $zero:ident, $load:ident, $or:ident, $rest:expr, $fold:expr) => {
        #[target_feature(enable = $features)]
        fn $name(data: &[u8]) -> u32 {
            const WIDTH: usize = size_of::<$vector>();
            // SAFETY: Both callers pass as many bytes as a vector has.
            let load = |bytes: &[u8]| unsafe { $load(bytes.as_ptr().cast()) };
            let mut sums = [$zero(); ROW];
            let mut rows = data.chunks_exact(ROW * WIDTH);
            for row in &mut rows {
                for (sum, bytes) in sums.iter_mut().zip(row.chunks_exact(WIDTH)) {
                    *sum = $or(*sum, load(bytes));
                }
            }
            let mut sum = sums.into_iter().fold($zero(), |a, b| $or(a, b));
            let mut vectors = rows.remainder().chunks_exact(WIDTH);
            for bytes in &mut vectors {
                sum = $or(sum, load(bytes));
            }
            $fold($or(sum, $rest(vectors.remainder())))
        }
    };
}

read!(
    read_512,
    "avx512f,avx512bw,bmi2",
    __m512i,
    _mm512_setzero_si512,
    _mm512_loadu_si512,
    _mm512_or_si512,
    |rest: &[u8]| {
        let mask = _bzhi_u64(u64::MAX, rest.len() as u32);
        // SAFETY: The mask has only the bytes that there are.
        unsafe { _mm512_maskz_loadu_epi8(mask, rest.as_ptr().cast()) }
    },
    |sum| _mm512_test_epi64_mask(sum, sum).into()
);
read!(
    read_256,
    "avx2",
    __m256i,
    _mm256_setzero_si256,
    _mm256_loadu_si256,
    _mm256_or_si256,
    |rest: &[u8]| _mm256_set1_epi8(by_byte(rest)),
    |sum| _mm256_movemask_epi8(sum) as u32
);
read!(
    read_128,
    "sse2",
    __m128i,
    _mm_setzero_si128,
    _mm_loadu_si128,
    _mm_or_si128,
    |rest: &[u8]| _mm_set1_epi8(by_byte(rest)),
    |sum| _mm_movemask_epi8(sum) as u32
);

fn by_byte(rest: &[u8]) -> i8 {
    rest.iter().fold(0, |a, b| a | b) as i8
}

/// Copies the data.
pub struct Memcpy {
    target: NonNull<u8>,
    len: usize,
}

impl Memcpy {
    /// Can copy up to `len` bytes. Keeps its memory until the end of the program.
    pub fn new(len: usize) -> Self {
        /// Away from the place in a page where the data begin: the processor would take a load for
        /// one of what was just stored.
        const AWAY: usize = 1024;
        let memory = &mut Buffer::random(AWAY + len).leak()[AWAY..];
        Self {
            target: NonNull::from(memory).cast(),
            len,
        }
    }

    #[inline(always)]
    pub fn copy(&self, data: &[u8]) {
        assert!(data.len() <= self.len);
        // SAFETY: The target has room, is ours alone, and lives as long as the program.
        unsafe { ptr::copy_nonoverlapping(data.as_ptr(), self.target.as_ptr(), data.len()) };
    }
}
