// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The checksum by all processors.

use rayon::prelude::*;

use super::update;
use crate::Adler32;
use crate::Sum;

/// From how many bytes on there is more than one thread. So much is rarely in a cache; and if it is,
/// one core has read half of it before another has woken up.
///
/// Microseconds, the median, of one thread and of two on two cores of a processor of the Zen 4 family
/// in a virtual machine, with the implementation for AVX-512, from memory and from the cache (the
/// 32 MiB only in part):
///
/// ```text
///                4 MiB   8 MiB  16 MiB  32 MiB  64 MiB
/// memory, one      253     484     881    1607    3169
/// memory, two      272     414     667    1177    2222
/// cache, one        44      93     282    1499
/// cache, two        59     113     305     787
/// ```
///
/// Threads started for the purpose take 50 to 100 more than rayon's.
pub const PARALLEL_FROM: usize = 8 * 1024 * 1024;

/// The bytes that a thread takes at once: many times what it costs to hand them over, and so few
/// that no thread waits long for the last one.
const RANGE: usize = 1024 * 1024;

/// Continues a checksum over the bytes given, as [`update()`] does, but over much data with all
/// threads of rayon's pool, the caller's or else the global one.
///
/// ```
/// use adler32::processor::update;
/// use adler32::processor::update_parallel;
/// use adler32::Adler32;
///
/// let data = vec![0xff; 20_000_000];
/// let sum = update_parallel(Adler32::EMPTY, &data);
/// assert_eq!(sum, update(Adler32::EMPTY, &data));
/// ```
pub fn update_parallel(start: Adler32, data: &[u8]) -> Adler32 {
    if data.len() < PARALLEL_FROM || rayon::current_num_threads() == 1 {
        return update(start, data);
    }
    let sum = data.par_chunks(RANGE).map(sum).reduce(|| Sum::EMPTY, join);
    start.combine(sum.checksum, sum.length)
}

fn sum(data: &[u8]) -> Sum {
    Sum {
        checksum: update(Adler32::EMPTY, data),
        length: data.len() as u64,
    }
}

fn join(first: Sum, second: Sum) -> Sum {
    Sum {
        checksum: first.checksum.combine(second.checksum, second.length),
        length: first.length + second.length,
    }
}
