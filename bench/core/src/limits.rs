// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Limits for every checksum: reading the data once, and copying the data.

use std::arch::is_x86_feature_detected;
use std::arch::x86_64::*;
use std::ptr;
use std::ptr::NonNull;

use bench_common::buffer::Buffer;

use crate::routine::Role;
use crate::routine::Routine;

/// Returns the limits for data of up to `largest` bytes.
pub fn all(largest: usize) -> Vec<Routine> {
    let (name, read): (_, unsafe fn(&[u8]) -> u32) = if is_x86_feature_detected!("avx512bw") {
        ("read, 512 bits", read_512)
    } else if is_x86_feature_detected!("avx2") {
        ("read, 256 bits", read_256)
    } else {
        ("read, 128 bits", read_128)
    };
    let copy = Memcpy::new(largest);
    vec![
        Routine::plain(name, Role::Limit, move |sum, data| {
            // SAFETY: The function was chosen for this processor.
            let read = unsafe { read(data) };
            sum | read
        }),
        Routine::plain("memcpy", Role::Limit, move |sum, data| {
            copy.copy(data);
            sum
        }),
    ]
}

/// The vectors that an iteration reads.
const ROW: usize = 8;

/// Defines a function that loads all bytes in vectors and combines them, so that the compiler keeps
/// the loads.
macro_rules! read {
    (
        $name:ident, $features:literal, $vector:ty,
        $zero:ident, $load:ident, $or:ident, $rest:expr, $fold:expr
    ) => {
        #[target_feature(enable = $features)]
        fn $name(data: &[u8]) -> u32 {
            const WIDTH: usize = size_of::<$vector>();
            // SAFETY: Both callers pass as many bytes as a vector holds.
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
        // SAFETY: The mask selects only bytes of `rest`.
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

/// Copies data.
#[derive(Clone, Copy)]
struct Memcpy {
    copy: NonNull<u8>,
    len: usize,
}

impl Memcpy {
    /// Makes room for `len` bytes, which is kept until the end of the program.
    fn new(len: usize) -> Self {
        /// The distance from the offset in a page at which the data begin. With the same offset,
        /// the processor would wait for stores before loads that do not depend on them.
        const AWAY: usize = 1024;
        let memory = &mut Buffer::random(AWAY + len).leak()[AWAY..];
        Self {
            copy: NonNull::from(memory).cast(),
            len,
        }
    }

    #[inline(always)]
    fn copy(&self, data: &[u8]) {
        assert!(data.len() <= self.len);
        // SAFETY: The copy fits, as just checked. `new` leaked its memory to this value alone.
        unsafe { ptr::copy_nonoverlapping(data.as_ptr(), self.copy.as_ptr(), data.len()) };
    }
}
