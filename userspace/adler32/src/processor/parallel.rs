// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The checksum by all processors.

use std::ops::RangeInclusive;

use rayon::prelude::*;

use super::update;
use crate::Adler32;
use crate::Sum;

/// From how many bytes on there is more than one thread.
///
/// With less, waking the other threads takes as long as what they save: on two cores of a virtual
/// machine with a processor of the Zen 4 family, two threads were 0.4 to 0.7 times as fast as one on
/// 8 MiB, 0.6 to 0.8 times on 16 MiB, 0.6 to 1.4 times on 32 MiB, and 1.1 to 1.3 times on 64 MiB (the
/// medians that five runs of `make bench-core` printed, with 8 MiB here).
pub const PARALLEL_FROM: usize = 64 * 1024 * 1024;

/// The least and the most bytes that a thread takes at once. There are two ranges for each thread
/// in between, so that none waits long for the last one; the longest are long enough to be read in
/// several places at a time by the implementations that do that.
const RANGE: RangeInclusive<usize> = 1024 * 1024..=16 * 1024 * 1024;

/// Continues a checksum over the bytes given, as [`update()`] does, but over much data with all
/// threads of rayon's pool, the caller's or else the global one.
///
/// ```
/// use adler32::processor::update;
/// use adler32::processor::update_parallel;
/// use adler32::Adler32;
///
/// let data = vec![0xff; 80_000_000];
/// let sum = update_parallel(Adler32::EMPTY, &data);
/// assert_eq!(sum, update(Adler32::EMPTY, &data));
/// ```
pub fn update_parallel(start: Adler32, data: &[u8]) -> Adler32 {
    let threads = rayon::current_num_threads();
    if data.len() < PARALLEL_FROM || threads == 1 {
        return update(start, data);
    }
    let range = (data.len() / (2 * threads)).clamp(*RANGE.start(), *RANGE.end());
    let sum = data
        .par_chunks(range)
        .map(sum)
        .reduce(|| Sum::EMPTY, Sum::combine);
    start.combine(sum.checksum, sum.length)
}

fn sum(data: &[u8]) -> Sum {
    Sum {
        checksum: update(Adler32::EMPTY, data),
        length: data.len() as u64,
    }
}
