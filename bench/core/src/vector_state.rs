// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the use of vectors costs the kernel.
//!
//! `kernel_fpu_begin()` saves the vector state of the program that called the kernel, unless it is
//! saved already. The kernel restores the state when it returns to the program. The kernel uses
//! XSAVES and XRSTORS, which programs may not use. XSAVEC and XRSTOR move the same data in the same
//! format.

use std::arch::asm;
use std::arch::is_x86_feature_detected;
use std::arch::x86_64::_xgetbv;
use std::ops::Range;
use std::time::Instant;

use anyhow::Result;
use bench_common::contender;
use bench_common::contender::Contender;
use serde::Serialize;

use crate::measure::nanoseconds;
use crate::measure::Effort;

/// The vector registers that a program uses when it calls the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum InUse {
    Sse,
    Avx,
    Avx512,
}

/// The time to save and restore these registers.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    pub in_use: InUse,
    pub best_ns: f64,
    pub median_ns: f64,
}

/// State components, as in XCR0.
const AVX: u64 = 1 << 2;
const AVX512: u64 = 7 << 5;
const VECTORS: u64 = 1 << 1 | AVX | AVX512;
/// The component that the kernel saves along with them.
const X87: u64 = 1 << 0;

/// Memory for the state: the components above take 2432 bytes.
#[repr(C, align(64))]
struct Area([u8; 4096]);

impl Area {
    /// Returns the initial state.
    fn initial() -> Self {
        /// The place and the initial value of the control register of SSE, which AVX shares.
        const MXCSR: Range<usize> = 24..28;
        const MASKED: u32 = 0x1f80;
        let mut area = Self([0; 4096]);
        area.0[MXCSR].copy_from_slice(&MASKED.to_le_bytes());
        area
    }
}

/// Measures the costs for all vector registers of this processor. Returns nothing if the processor
/// lacks XSAVEC or AVX2.
pub fn costs(effort: Effort) -> Result<Vec<Cost>> {
    if !is_x86_feature_detected!("xsavec") || !is_x86_feature_detected!("avx2") {
        return Ok(Vec::new());
    }
    // SAFETY: The operating system has enabled XSAVE; otherwise there would be no AVX2.
    let available = unsafe { xgetbv() } & (X87 | VECTORS);
    type Function = unsafe fn(u64, u64);
    let mut kinds: Vec<(_, Function)> = vec![(InUse::Sse, sse), (InUse::Avx, avx)];
    if available & AVX512 == AVX512 {
        kinds.push((InUse::Avx512, avx512));
    }
    let contenders = kinds.iter().map(|&(in_use, function)| {
        Contender::repeated(&format!("{in_use:?}"), effort.batch, move |rounds| {
            let begin = Instant::now();
            // SAFETY: The components are available, as checked above.
            unsafe { function(available, rounds) };
            Ok(begin.elapsed())
        })
    });
    let figures = contender::measure(1, contenders.collect::<Result<_>>()?, effort.rounds)?;
    let cost = |((in_use, _), figure)| {
        let [best_ns, median_ns] = nanoseconds(&figure);
        Cost {
            in_use,
            best_ns,
            median_ns,
        }
    };
    Ok(kinds.into_iter().zip(figures).map(cost).collect())
}

#[target_feature(enable = "xsave")]
fn xgetbv() -> u64 {
    // SAFETY: Every processor with XSAVE has XCR0.
    unsafe { _xgetbv(0) }
}

/// Defines a function that fills the vector registers and then, `rounds` times, saves the state,
/// changes registers as a checksum would, and restores the state.
macro_rules! save_restore {
    ($(#[$doc:meta])* $name:ident, $use:literal, $change:literal) => {
        $(#[$doc])*
        ///
        /// # Safety
        ///
        /// The processor has XSAVEC, the components and the registers used. `rounds` is not 0.
        unsafe fn $name(components: u64, rounds: u64) {
            let initial = Area::initial();
            let mut area = Area::initial();
            // SAFETY: The state fits in the area. All registers that change are declared. At the
            // end, those above SSE are in their initial state.
            unsafe {
                asm!(
                    // As if no register had been used: nothing to save.
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
