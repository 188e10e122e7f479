// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the device is compared with in the program itself.

use std::hint::black_box;

/// Continues a checksum by libdeflate, which takes the fastest function that it has for the
/// processor.
pub fn libdeflate(sum: u32, data: &[u8]) -> u32 {
    // SAFETY: The function reads the data.
    unsafe { libdeflate_sys::libdeflate_adler32(sum, data.as_ptr().cast(), data.len()) }
}

/// Reads all bytes and does no more with them than it takes to have read them.
pub fn read(data: &[u8]) {
    black_box(if is_x86_feature_detected!("avx2") {
        // SAFETY: The processor has AVX2.
        unsafe { or_avx2(data) }
    } else {
        or(data)
    });
}

#[target_feature(enable = "avx2")]
unsafe fn or_avx2(data: &[u8]) -> u8 {
    or(data)
}

/// To be compiled for the vectors that the caller has.
#[inline(always)]
fn or(data: &[u8]) -> u8 {
    data.iter().fold(0, |a, b| a | b)
}
