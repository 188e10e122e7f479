// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The Adler-32 of other libraries, each through the fastest function that it offers.

use std::arch::is_x86_feature_detected;

use crate::routine::Level;
use crate::routine::Role;
use crate::routine::Routine;

// For the functions that they do not declare.
use libz_ng_sys as _;
use libz_sys as _;

extern crate zlib_rs_avx512;

/// Functions that the crates do not declare, and those that build.rs compiles.
mod c {
    use std::ffi::c_ulong;
    use std::ffi::c_void;

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

/// Makes a closure over data from a function of C.
macro_rules! c {
    ($function:path) => {
        // SAFETY: The function only reads the data. `all` uses it only if the processor can run it.
        |sum: u32, data: &[u8]| unsafe {
            $function(sum.into(), data.as_ptr().cast(), data.len()) as u32
        }
    };
}

/// Makes a list of the routines that the processor can run, from a table of conditions, levels,
/// names and functions.
macro_rules! runnable {
    ($($condition:expr, $level:ident, $name:literal => $update:expr;)*) => {{
        let mut all = Vec::new();
        $(if $condition {
            all.push(Routine::plain($name, Role::Peer(Level::$level), $update));
        })*
        all
    }};
}

/// Returns the peers that this processor can run.
pub fn all() -> Vec<Routine> {
    let avx2 = is_x86_feature_detected!("avx2");
    // What build.rs compiles zlib-rs for.
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni");
    let mut all = runnable! {
        true, Any, "libdeflate" => c!(libdeflate_sys::libdeflate_adler32);
        true, Any, "zlib-ng" => c!(c::zng_adler32_z);
        avx2, Avx2, "libdeflate avx2" => c!(c::bench_libdeflate_avx2);
        avx2, Avx2, "zlib-ng avx2" => c!(c::adler32_avx2);
        avx512, Any, "zlib-rs avx512" => zlib_rs_avx512::adler32::adler32;
        true, Avx2, "zlib-rs" => zlib_rs::adler32::adler32;
        true, General, "libdeflate general" => c!(c::bench_libdeflate_general);
        true, General, "zlib-ng general" => c!(c::bench_zlib_ng_general);
        true, General, "zlib general" => c!(c::bench_zlib_general);
        true, General, "zlib" => c!(c::adler32_z);
    };
    all.push(Routine::new(
        "simd-adler32",
        Role::Peer(Level::Avx2),
        simd_adler32::Adler32::from_checksum,
        |mut sum, data| {
            sum.write(data);
            sum
        },
        |sum| sum.finish(),
    ));
    all.push(Routine::new(
        "adler2",
        Role::Peer(Level::General),
        adler2::Adler32::from_checksum,
        |mut sum, data| {
            sum.write_slice(data);
            sum
        },
        |sum| sum.checksum(),
    ));
    all
}
