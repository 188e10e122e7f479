// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Several threads that sum the parts of a whole.

use std::num::NonZero;
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;

use crate::sum::Sum;

/// Returns the number of threads that the caller wants, or else the number of processors.
pub fn number(wanted: Option<NonZero<usize>>) -> u64 {
    wanted
        .or_else(|| thread::available_parallelism().ok())
        .map_or(1, |threads| threads.get() as u64)
}

/// Sums the bytes of `whole` in steps of `step` bytes, with up to `threads` threads. The caller is
/// one of them. `sum` sums a part; if the sum covers less than the part, the result ends there.
pub fn sum<E: Send>(
    whole: Range<u64>,
    step: u64,
    threads: u64,
    sum: impl Fn(Range<u64>) -> Result<Sum, E> + Sync,
) -> Result<Sum, E> {
    // Each thread takes the next part when it is ready, so that a disk is read at one moving place.
    let next = AtomicU64::new(whole.start);
    let work = || -> Result<Vec<(u64, Sum)>, E> {
        let mut sums = Vec::new();
        loop {
            let start = next.fetch_add(step, Ordering::Relaxed);
            if start >= whole.end {
                return Ok(sums);
            }
            match sum(start..whole.end.min(start + step)) {
                Ok(sum) => sums.push((start, sum)),
                Err(error) => {
                    next.store(whole.end, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    };
    let sums = thread::scope(|scope| {
        // If the system refuses more threads, those that have started do all the work.
        let others: Vec<_> = (1..threads)
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mut sums = work()?;
        for other in others {
            sums.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
        Ok(sums)
    })?;
    Ok(without_gap(whole.start, sums))
}

/// Combines sums, each with the place where its bytes begin, up to the first gap. A file that was
/// cut short and grew again leaves a gap.
fn without_gap(start: u64, mut sums: Vec<(u64, Sum)>) -> Sum {
    sums.sort_unstable_by_key(|(at, _)| *at);
    let mut whole = Sum::EMPTY;
    for (at, sum) in sums {
        if at != start + whole.length {
            break;
        }
        whole = whole.combine(sum);
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::processor::sum;

    #[test]
    fn a_gap_is_the_end() {
        let sums = vec![(14, sum(b"e")), (10, sum(b"ab")), (12, sum(b"cd"))];
        assert_eq!(without_gap(10, sums), sum(b"abcde"));
        let sums = vec![(14, sum(b"e")), (10, sum(b"ab")), (12, sum(b"c"))];
        assert_eq!(without_gap(10, sums), sum(b"abc"));
        let sums = vec![(12, sum(b"cd")), (10, Sum::EMPTY)];
        assert_eq!(without_gap(10, sums), Sum::EMPTY);
    }
}
