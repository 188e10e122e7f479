// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What it costs the kernel to use vectors.
//!
//! `kernel_fpu_begin()` saves the vector state of the program that called the kernel, unless that
//! was done already since the program entered it; the return to the program restores it. The
//! kernel does both by XSAVES and XRSTORS, which programs may not use; XSAVEC and XRSTOR move the
//! same data in the same format.

use std::arch::asm;
use std::arch::is_x86_feature_detected;
use std::arch::x86_64::_xgetbv;
use std::ops::Range;
use std::time::Duration;
use std::time::Instant;

use serde::Serialize;

use crate::measure::Effort;

/// Vector registers that a program has in use when it calls the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum InUse {
    Sse,
    Avx,
    Avx512,
}

/// The cost of saving and restoring what a program has in use.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    pub in_use: InUse,
    pub best_ns: f64,
    pub median_ns: f64,
}

/// State components, as XCR0 has them.
const AVX: u64 = 1 << 2;
const AVX512: u64 = 7 << 5;
const VECTORS: u64 = 1 << 1 | AVX | AVX512;
/// What the kernel saves along with them.
const X87: u64 = 1 << 0;

/// Where the processor saves its state: the components above take 2432 bytes.
#[repr(C, align(64))]
struct Area([u8; 4096]);

impl Area {
    /// The state that no program has changed.
    fn initial() -> Self {
        /// Where the control register of SSE is, which AVX shares, and what it is at first.
        const MXCSR: Range<usize> = 24..28;
        const MASKED: u32 = 0x1f80;
        let mut area = Self([0; 4096]);
        area.0[MXCSR].copy_from_slice(&MASKED.to_le_bytes());
        area
    }
}

/// Measures the costs, for all that this processor has. Returns none if it cannot tell.
pub fn costs(effort: Effort) -> Vec<Cost> {
    if !is_x86_feature_detected!("xsavec") || !is_x86_feature_detected!("avx2") {
        return Vec::new();
    }
    // SAFETY: The operating system has enabled XSAVE, or there would be no AVX2.
    let available = unsafe { xgetbv() } & (X87 | VECTORS);
    let mut kinds = vec![InUse::Sse, InUse::Avx];
    if available & AVX512 == AVX512 {
        kinds.push(InUse::Avx512);
    }
    kinds
        .into_iter()
        .map(|in_use| {
            let mut times: Vec<_> = (0..effort.batches)
                .map(|_| nanoseconds(in_use, available, effort.batch))
                .collect();
            times.sort_by(f64::total_cmp);
            Cost {
                in_use,
                best_ns: times[0],
                median_ns: times[times.len() / 2],
            }
        })
        .collect()
}

#[target_feature(enable = "xsave")]
fn xgetbv() -> u64 {
    // SAFETY: XCR0 is there whenever XSAVE is.
    unsafe { _xgetbv(0) }
}

/// Returns how long it takes to save and to restore the state, in one batch.
fn nanoseconds(in_use: InUse, available: u64, batch: Duration) -> f64 {
    /// Calls between two looks at the clock.
    const ROUND: u64 = 100;
    let function = match in_use {
        InUse::Sse => sse,
        InUse::Avx => avx,
        InUse::Avx512 => avx512,
    };
    // SAFETY: The components are available, as the caller found out.
    let run = |rounds| unsafe { function(available, rounds) };
    run(ROUND);
    let begin = Instant::now();
    let mut calls = 0;
    while begin.elapsed() < batch {
        run(ROUND);
        calls += ROUND;
    }
    begin.elapsed().as_nanos() as f64 / calls as f64
}

/// Makes a function that brings the vector registers into a state and then, some times, saves it,
/// changes registers as a checksum would, and restores it.
macro_rules! save_restore {
    ($(#[$doc:meta])* $name:ident, $use:literal, $change:literal) => {
        $(#[$doc])*
        ///
        /// # Safety
        ///
        /// The processor has the components of the state, XSAVEC, and the registers named.
        unsafe fn $name(components: u64, rounds: u64) {
            let initial = Area::initial();
            let mut area = Area::initial();
            // SAFETY: The state is as large as the area at most. All registers that change are
            // declared, and the state of those above SSE is the initial one at the end.
            unsafe {
                asm!(
                    // As if never used: nothing to save.
                    "xrstor64 [{initial}]",
                    $use,
                    "mov eax, {components:e}",
                    "2:",
                    "xsavec64 [{area}]",
                    $change,
                    "xrstor64 [{area}]",
                    "dec rcx",
                    "jnz 2b",
                    "mov eax, {vectors:e}",
                    "xrstor64 [{initial}]",
                    initial = in(reg) &initial,
                    area = in(reg) &mut area,
                    components = in(reg) components,
                    vectors = in(reg) components & (AVX | AVX512),
                    inout("rcx") rounds => _,
                    inout("eax") (components & (AVX | AVX512)) as u32 => _,
                    inout("edx") 0 => _,
                    clobber_abi("sysv64"),
                    options(nostack),
                )
            }
        }
    };
}

save_restore!(
    /// Only SSE registers are in use.
    sse,
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
     pcmpeqd xmm\\n, xmm\\n
     .endr",
    "vpaddd ymm0, ymm0, ymm1"
);
save_restore!(
    /// AVX registers are in use.
    avx,
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
     vpcmpeqd ymm\\n, ymm\\n, ymm\\n
     .endr",
    "vpaddd ymm0, ymm0, ymm1"
);
save_restore!(
    /// All registers of AVX-512 are in use.
    avx512,
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
     vpternlogd zmm\\n, zmm\\n, zmm\\n, 255
     .endr
     .irp n, 0,1,2,3,4,5,6,7
     kxnorw k\\n, k\\n, k\\n
     .endr",
    "vpaddd zmm0, zmm0, zmm1
     vpaddd zmm16, zmm16, zmm17"
);
