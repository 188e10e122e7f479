// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The checksum by the processor: all implementations that it can run, and the fastest.
//!
//! ```
//! use adler32::processor;
//! use adler32::Adler32;
//!
//! let checksum = processor::update(Adler32::EMPTY, b"Wikipedia");
//! for implementation in processor::runnable() {
//!     let same = implementation.update(Adler32::EMPTY, b"Wikipedia");
//!     assert_eq!(same, checksum, "{}", implementation.name());
//! }
//! ```

mod parallel;
mod streamed;

use std::sync::OnceLock;

use crate::algorithm::Adler32;
use crate::algorithm::Features;
use crate::algorithm::Implementation;
use crate::algorithm::Platform;
use crate::algorithm::Runnable;
use crate::algorithm::IMPLEMENTATIONS;

use self::streamed::streamed;
use self::streamed::STREAMED;

pub use self::parallel::update_parallel;
pub use self::parallel::PARALLEL_FROM;

/// The processor, as programs see it.
#[derive(Clone, Copy, Debug)]
pub struct Processor;

// SAFETY: The features are those that the processor and the operating system report, and the vector
// registers are a program's own.
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

    #[cfg(not(target_arch = "x86_64"))]
    fn features() -> Features {
        Features::NONE
    }

    #[inline]
    unsafe fn run(implementation: &Implementation, start: Adler32, data: &[u8]) -> Adler32 {
        // SAFETY: The caller promises that the features suffice.
        let update = |start, data: &[u8]| unsafe { implementation.update(start, data) };
        if data.len() >= STREAMED && implementation.requires() != Features::NONE {
            streamed(start, data, update)
        } else {
            update(start, data)
        }
    }
}

/// Returns the implementations that this processor can run, the slowest first.
pub fn runnable() -> impl DoubleEndedIterator<Item = Runnable<Processor>> {
    IMPLEMENTATIONS.iter().copied().filter_map(Runnable::new)
}

/// Returns the fastest implementation that this processor can run.
pub fn fastest() -> Runnable<Processor> {
    static FASTEST: OnceLock<Runnable<Processor>> = OnceLock::new();
    *FASTEST.get_or_init(|| runnable().next_back().expect("portable runs everywhere"))
}

/// Continues a checksum over the bytes given, with the fastest implementation.
pub fn update(start: Adler32, data: &[u8]) -> Adler32 {
    fastest().update(start, data)
}
