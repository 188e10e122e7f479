// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Functions in this program with which the device is compared.

use std::hint::black_box;

/// Updates a checksum by libdeflate, which chooses its fastest function for the processor.
pub fn libdeflate(sum: u32, data: &[u8]) -> u32 {
    // SAFETY: The function only reads the data.
    unsafe { libdeflate_sys::libdeflate_adler32(sum, data.as_ptr().cast(), data.len()) }
}

/// Reads all bytes and combines them, so that the compiler keeps the loads.
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

/// Combines all bytes. The compiler uses the vectors of the caller.
#[inline(always)]
fn or(data: &[u8]) -> u8 {
    data.iter().fold(0, |a, b| a | b)
}
