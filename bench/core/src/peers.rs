// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Other libraries' Adler-32, each through the fastest function that it offers for it.

use std::arch::is_x86_feature_detected;
use std::ffi::c_ulong;
use std::ffi::c_void;

use crate::contender::Routine;

mod c {
    use std::ffi::c_ulong;
    use std::ffi::c_void;

    // What the crates do not declare, and what build.rs compiles.
    extern "C" {
        pub fn adler32_z(adler: c_ulong, buf: *const u8, len: usize) -> c_ulong;
        pub fn zng_adler32_z(adler: u32, buf: *const u8, len: usize) -> u32;
        pub fn adler32_avx2(adler: u32, buf: *const u8, len: usize) -> u32;
        pub fn bench_libdeflate_avx2(adler: u32, buf: *const c_void, len: usize) -> u32;
        pub fn bench_libdeflate_general(adler: u32, buf: *const c_void, len: usize) -> u32;
        pub fn bench_zlib_general(adler: c_ulong, buf: *const u8, len: usize) -> c_ulong;
        pub fn bench_zlib_ng_general(adler: u32, buf: *const u8, len: usize) -> u32;
    }
}

// Linked for the functions above.
use libz_ng_sys as _;
use libz_sys as _;

extern crate zlib_rs_avx512;

/// Makes a function over data of a function of C.
macro_rules! c_function {
    ($(#[$doc:meta])* $name:ident, $function:path, $value:ty, $pointer:ty) => {
        $(#[$doc])*
        #[inline(always)]
        pub fn $name(sum: u32, data: &[u8]) -> u32 {
            // SAFETY: The function reads the data, and the processor has what it needs.
            unsafe {
                $function(<$value>::from(sum), data.as_ptr().cast::<$pointer>(), data.len()) as u32
            }
        }
    };
}

c_function!(
    /// libdeflate, as it chooses.
    libdeflate, libdeflate_sys::libdeflate_adler32, u32, c_void
);
c_function!(
    /// libdeflate, without VNNI and AVX-512.
    libdeflate_avx2, c::bench_libdeflate_avx2, u32, c_void
);
c_function!(
    /// libdeflate's generic C.
    libdeflate_general, c::bench_libdeflate_general, u32, c_void
);
c_function!(
    /// zlib-ng, as it chooses.
    zlib_ng, c::zng_adler32_z, u32, u8
);
c_function!(
    /// zlib-ng's function for AVX2; needs AVX2.
    zlib_ng_avx2, c::adler32_avx2, u32, u8
);
c_function!(
    /// zlib-ng's generic C.
    zlib_ng_general, c::bench_zlib_ng_general, u32, u8
);
c_function!(
    /// zlib, as its crate builds it.
    zlib, c::adler32_z, c_ulong, u8
);
c_function!(
    /// zlib, in general registers.
    zlib_general, c::bench_zlib_general, c_ulong, u8
);

/// zlib-rs, as it chooses.
pub use zlib_rs::adler32::adler32 as zlib_rs;
/// zlib-rs, compiled for processors of [`has_zlib_rs_avx512`] only.
pub use zlib_rs_avx512::adler32::adler32 as zlib_rs_avx512;

/// Returns whether the processor has what build.rs compiles zlib-rs for.
pub fn has_zlib_rs_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni")
}

/// simd-adler32, as it chooses, which it does once.
pub struct SimdAdler32;

impl Routine for SimdAdler32 {
    type Sum = simd_adler32::Adler32;

    fn start(value: u32) -> Self::Sum {
        simd_adler32::Adler32::from_checksum(value)
    }

    fn value(sum: Self::Sum) -> u32 {
        sum.finish()
    }

    #[inline(always)]
    fn update(&self, mut sum: Self::Sum, data: &[u8]) -> Self::Sum {
        sum.write(data);
        sum
    }
}

/// adler2.
pub struct Adler2;

impl Routine for Adler2 {
    type Sum = adler2::Adler32;

    fn start(value: u32) -> Self::Sum {
        adler2::Adler32::from_checksum(value)
    }

    fn value(sum: Self::Sum) -> u32 {
        sum.checksum()
    }

    #[inline(always)]
    fn update(&self, mut sum: Self::Sum, data: &[u8]) -> Self::Sum {
        sum.write_slice(data);
        sum
    }
}
