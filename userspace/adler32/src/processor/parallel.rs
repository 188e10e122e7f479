// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The checksum by several threads.

use std::convert::Infallible;
use std::num::NonZero;
use std::ops::RangeInclusive;

use super::platform::sum;
use super::platform::update;
use crate::algorithm::Adler32;
use crate::threads;

/// The length in bytes from which more than one thread sums.
///
/// On less data, starting threads takes as long as they save. On two cores of a virtual machine
/// with a processor of the Zen 4 family, two threads were 0.9 to 1.0 times as fast as one on 8 MiB,
/// 1.3 to 1.5 times on 16 MiB, and 1.0 to 1.3 times on 32 and 64 MiB. (These are medians of five
/// runs of a program that was not kept.)
pub const PARALLEL_FROM: usize = 16 * 1024 * 1024;

/// The shortest and the longest part that a thread takes at once, in bytes. In between, there are
/// two parts for each thread, so that no thread waits long for the last one.
const STEP: RangeInclusive<usize> = 1024 * 1024..=16 * 1024 * 1024;

/// Appends `data` to the bytes that `start` covers, as [`update()`] does. Several threads share the
/// work if the data is long: as many as there are processors, unless `threads` is another number.
///
/// ```
/// use adler32::processor::update;
/// use adler32::processor::update_parallel;
/// use adler32::Adler32;
///
/// let data = vec![0xff; 80_000_000];
/// let sum = update_parallel(Adler32::EMPTY, &data, None);
/// assert_eq!(sum, update(Adler32::EMPTY, &data));
/// ```
pub fn update_parallel(start: Adler32, data: &[u8], threads: Option<NonZero<usize>>) -> Adler32 {
    let threads = threads::number(threads);
    if data.len() < PARALLEL_FROM || threads == 1 {
        return update(start, data);
    }
    let step = (data.len() / (2 * threads as usize)).clamp(*STEP.start(), *STEP.end());
    let parts = (0..).step_by(step).zip(data.chunks(step));
    let Ok(sum) = threads::sum(
        0,
        parts,
        threads,
        || true,
        |_| false,
        |(at, data)| Ok::<_, Infallible>((at, sum(data))),
    );
    start.combine(sum.checksum, sum.length)
}
