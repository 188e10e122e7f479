// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Several threads that sum the parts of a whole.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::thread;

use crate::sum::Sum;

/// The size of a thread's stack in bytes. Many threads may wait for a disk at the same time, in a
/// process whose memory is limited.
const STACK: usize = 256 * 1024;

/// Returns the number of threads that the caller wants, or else the number of processors.
pub fn number(wanted: Option<NonZero<usize>>) -> u64 {
    wanted
        .or_else(|| thread::available_parallelism().ok())
        .map_or(1, |threads| threads.get() as u64)
}

/// Sums the parts of a whole that begins at `start`, with up to `threads` threads. The caller is
/// one of them. Each of the others works only if `is_ready` returns true. `sum` sums a part, and
/// returns where the part begins. If a sum covers less than its part, the result ends there. No
/// other part is begun while a part is summed that is `alone`.
pub fn sum<P, E: Send>(
    start: u64,
    parts: impl Iterator<Item = P> + Send,
    threads: u64,
    is_ready: impl Fn() -> bool + Sync,
    alone: impl Fn(&P) -> bool + Sync,
    sum: impl Fn(P) -> Result<(u64, Sum), E> + Sync,
) -> Result<Sum, E> {
    let parts = Mutex::new(Some(parts));
    let work = || -> Result<Vec<(u64, Sum)>, E> {
        let mut sums = Vec::new();
        loop {
            let mut rest = lock(&parts);
            let Some(part) = rest.as_mut().and_then(Iterator::next) else {
                return Ok(sums);
            };
            let rest = alone(&part).then_some(rest);
            let sum = sum(part);
            drop(rest);
            match sum {
                Ok(sum) => sums.push(sum),
                Err(error) => {
                    *lock(&parts) = None;
                    return Err(error);
                }
            }
        }
    };
    // The caller works in any case, and so takes what it needs before the others do.
    is_ready();
    let sums = thread::scope(|scope| {
        // If the system refuses more threads, those that have started do all the work.
        let others: Vec<_> = (1..threads)
            .map_while(|_| {
                let thread = thread::Builder::new().stack_size(STACK);
                thread
                    .spawn_scoped(scope, || match is_ready() {
                        true => work(),
                        false => Ok(Vec::new()),
                    })
                    .ok()
            })
            .collect();
        let mut sums = work()?;
        for other in others {
            sums.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
        Ok(sums)
    })?;
    Ok(without_gap(start, sums))
}

/// Locks a mutex. A panic of another thread reaches the caller when that thread is joined.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
