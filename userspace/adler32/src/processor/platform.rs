// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The processor as a platform for the implementations.

#[cfg(target_arch = "aarch64")]
use std::arch::is_aarch64_feature_detected;
use std::sync::OnceLock;

use super::streamed::streamed;
use super::streamed::STREAMED;
use crate::algorithm::Adler32;
use crate::algorithm::Features;
use crate::algorithm::Implementation;
use crate::algorithm::Platform;
use crate::algorithm::Runnable;
use crate::algorithm::IMPLEMENTATIONS;
use crate::sum::Sum;

/// The processor in a program.
#[derive(Clone, Copy, Debug)]
pub struct Processor;

// SAFETY: The macros for detection report a feature only if both the processor and the operating
// system support it, and the operating system saves the vector registers of every program.
unsafe impl Platform for Processor {
    #[cfg(target_arch = "x86_64")]
    fn features() -> Features {
        let mut features = Features::NONE;
        if is_x86_feature_detected!("avx2") {
            features = features.with(Features::AVX2);
        }
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
        {
            features = features.with(Features::AVX512_VNNI);
        }
        features
    }

    #[cfg(target_arch = "aarch64")]
    fn features() -> Features {
        let mut features = Features::NONE;
        if is_aarch64_feature_detected!("neon") {
            features = features.with(Features::NEON);
        }
        if is_aarch64_feature_detected!("dotprod") {
            features = features.with(Features::DOTPROD);
        }
        features
    }

    #[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
    fn features() -> Features {
        Features::NONE
    }

    #[inline]
    unsafe fn run(implementation: &Implementation, start: Adler32, data: &[u8]) -> Adler32 {
        // SAFETY: The caller guarantees that this platform has the features that are required.
        let update = |start, data: &[u8]| unsafe { implementation.update(start, data) };
        if data.len() >= STREAMED && implementation.requires() != Features::NONE {
            streamed(start, data, update)
        } else {
            update(start, data)
        }
    }
}

/// Returns the implementations that this processor can run, slowest first.
pub fn runnable() -> impl DoubleEndedIterator<Item = Runnable<Processor>> {
    IMPLEMENTATIONS.iter().copied().filter_map(Runnable::new)
}

/// Returns the fastest implementation that this processor can run.
pub fn fastest() -> Runnable<Processor> {
    static FASTEST: OnceLock<Runnable<Processor>> = OnceLock::new();
    *FASTEST.get_or_init(|| runnable().next_back().expect("portable runs everywhere"))
}

/// Appends `data` to the bytes that `start` covers, with the fastest implementation.
pub fn update(start: Adler32, data: &[u8]) -> Adler32 {
    fastest().update(start, data)
}

/// Returns the checksum and the length of `data`.
pub fn sum(data: &[u8]) -> Sum {
    Sum {
        checksum: update(Adler32::EMPTY, data),
        length: data.len() as u64,
    }
}
