// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Work by several threads, with results in order.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;

/// Calls `work` for each item, with up to `threads()` threads, of which the caller is one. This
/// number may grow in the meantime. Calls `finish` for each result in the order of the items, by
/// one thread at a time. A thread whose result is ready waits while another thread is in `finish`,
/// so that no thread gets far ahead.
pub fn in_order<T, R: Send>(
    threads: impl Fn() -> usize,
    items: impl Iterator<Item = T> + Send,
    work: impl Fn(T) -> R + Sync,
    finish: impl FnMut(R) + Send,
) {
    // Reading a terminal after its end would wait for more input.
    let items = Mutex::new(items.enumerate().fuse());
    let results = Mutex::new(Results {
        next: 0,
        early: BTreeMap::new(),
        finish,
    });
    let work_once = || {
        let item = items.lock().expect("no thread panicked").next();
        let (number, item) = item?;
        let result = work(item);
        let mut results = results.lock().expect("no thread panicked");
        results.add(number, result);
        Some(())
    };
    let work_to_the_end = || while work_once().is_some() {};
    thread::scope(|scope| {
        let mut started = 1;
        loop {
            while started < threads() {
                let thread = thread::Builder::new().spawn_scoped(scope, work_to_the_end);
                // If the system refuses more threads, those that have started do all the work.
                started = thread.map_or(usize::MAX, |_| started + 1);
            }
            if work_once().is_none() {
                return;
            }
        }
    });
}

/// Results that are not finished yet.
struct Results<R, F> {
    /// The number of the next result to finish.
    next: usize,
    /// Later results by number.
    early: BTreeMap<usize, R>,
    finish: F,
}

impl<R, F: FnMut(R)> Results<R, F> {
    fn add(&mut self, number: usize, result: R) {
        self.early.insert(number, result);
        while let Some(result) = self.early.remove(&self.next) {
            self.next += 1;
            (self.finish)(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;
    use std::sync::Barrier;
    use std::time::Duration;

    #[test]
    fn results_are_in_order() {
        for threads in [1, 2, 7] {
            let mut results = Vec::new();
            let work = |item: u64| {
                // Some items take longer than later ones.
                thread::sleep(Duration::from_micros(100 * (item % 7)));
                item * item
            };
            in_order(
                || threads,
                (0..100).rev(),
                work,
                |result| results.push(result),
            );
            let expected: Vec<_> = (0..100).rev().map(|item| item * item).collect();
            assert_eq!(results, expected);
        }
    }

    #[test]
    fn threads_are_added() {
        let threads = AtomicUsize::new(1);
        let together = Barrier::new(3);
        let work = |item| match item {
            0 => threads.store(3, Relaxed),
            // Returns when three threads are here.
            _ => drop(together.wait()),
        };
        in_order(|| threads.load(Relaxed), 0..4, work, |()| ());
    }
}
