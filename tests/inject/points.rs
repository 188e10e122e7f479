// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The points at which the kernel can be made to fail.

use std::fs;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use nix::errno::Errno;

use adler32_tests::module;

/// The kinds of points, named as their directories in debugfs.
const KINDS: [&str; 3] = ["failslab", "fail_page_alloc", COPY];
const COPY: &str = "fail_usercopy";

/// Also makes allocations fail that do not fail by default: those that can wait for memory, and
/// those for user space.
const KNOBS: [(&str, &str); 3] = [
    ("failslab/ignore-gfp-wait", "N"),
    ("fail_page_alloc/ignore-gfp-wait", "N"),
    ("fail_page_alloc/ignore-gfp-highmem", "N"),
];

/// The rounds in which points are visited: first allocations of objects, then of pages. The calls
/// differ in when objects need another page. If both kinds failed in one round, the numbers of the
/// points would shift, and some points would be missed.
const ROUNDS: [[(&str, &str); 2]; 2] = [
    [
        ("failslab/cache-filter", "N"),
        ("fail_page_alloc/min-order", "99"),
    ],
    [
        ("failslab/cache-filter", "Y"),
        ("fail_page_alloc/min-order", "0"),
    ],
];

/// More points than any call has: a call that reaches this limit is wrong.
const LIMIT: u32 = 5000;

static VISITED: AtomicU32 = AtomicU32::new(0);

/// Makes all kinds of points fail, without a message in the kernel log.
pub fn enable() {
    for kind in KINDS {
        set(&format!("{kind}/verbose"), "0");
    }
    for (knob, value) in KNOBS {
        set(knob, value);
    }
}

fn set(knob: &str, value: &str) {
    let path = path(knob);
    fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
}

fn path(knob: &str) -> String {
    format!("/sys/kernel/debug/{knob}")
}

/// Returns how many points have been visited. Points of copies count in each round.
pub fn visited() -> u32 {
    VISITED.load(Ordering::Relaxed)
}

/// How many calls in a row must hit no point before the round ends. The number of allocated pages
/// varies a little from call to call.
const ENOUGH: u32 = 3;

/// Prepares a `call`, makes the call while one point in it fails, and checks the result. Does this
/// for the first point, for the second, and so on, until the call has no further point.
///
/// A call in which no point fails must succeed. A call in which a point fails may succeed.
/// Otherwise its error must be EFAULT if a copy failed, and ENOMEM or one of `out_of_memory` if an
/// allocation failed. In the end, nothing holds the module.
#[track_caller]
pub fn each_point<S, T>(
    out_of_memory: &[Errno],
    prepare: impl FnMut() -> S,
    call: impl FnMut(&mut S) -> io::Result<T>,
    check: impl FnMut(S, io::Result<T>),
) {
    let points = count_points(out_of_memory, prepare, call, check);
    assert_ne!(points, 0, "the call has no point that can fail");
}

/// Does the same as [`each_point`] for a call that may have no points. Returns how many it has.
#[track_caller]
pub fn count_points<S, T>(
    out_of_memory: &[Errno],
    mut prepare: impl FnMut() -> S,
    mut call: impl FnMut(&mut S) -> io::Result<T>,
    mut check: impl FnMut(S, io::Result<T>),
) -> u32 {
    let fail_nth = FailNth::new();
    let (mut points, mut failed) = (0, 0);
    for round in ROUNDS {
        for (knob, value) in round {
            set(knob, value);
        }
        let mut missed = 0;
        for point in 1.. {
            let mut prepared = prepare();
            let (result, hit) = fail_nth.inject(point, || call(&mut prepared));
            if let Err(error) = &result {
                let errno = Errno::from_raw(error.raw_os_error().expect("an error of the kernel"));
                assert!(
                    is_allowed(errno, hit, out_of_memory),
                    "point {point}, {hit:?}: {errno}"
                );
                failed += 1;
            }
            check(prepared, result);
            if hit.is_some() {
                points += 1;
                missed = 0;
            } else {
                missed += 1;
            }
            if missed == ENOUGH {
                break;
            }
            assert!(point < LIMIT, "the call has too many points");
        }
    }
    VISITED.fetch_add(points, Ordering::Relaxed);
    println!("{points} points, {failed} failed calls");
    assert_eq!(
        module::refcount().unwrap_or(0),
        0,
        "something holds the module"
    );
    points
}

/// Returns whether a call may fail with `errno` if a point of the kind `hit` has failed in it.
fn is_allowed(errno: Errno, hit: Option<&str>, out_of_memory: &[Errno]) -> bool {
    match hit {
        None => false,
        Some(COPY) => errno == Errno::EFAULT,
        Some(_) => errno == Errno::ENOMEM || out_of_memory.contains(&errno),
    }
}

/// The file `/proc/thread-self/fail-nth` of the calling thread.
struct FailNth(File);

impl FailNth {
    fn new() -> Self {
        let file = File::options()
            .read(true)
            .write(true)
            .open("/proc/thread-self/fail-nth");
        Self(file.expect("/proc/thread-self/fail-nth"))
    }

    /// Makes a call in which a point fails. Returns the kind of the point, or `None` if there is
    /// none.
    fn inject<T>(&self, point: u32, call: impl FnOnce() -> T) -> (T, Option<&'static str>) {
        // A failure decrements the times that its kind may still fail.
        for kind in KINDS {
            set(&times(kind), "1");
        }
        let number = point.to_string();
        let mut left = [0; 16];
        self.0.write_at(number.as_bytes(), 0).expect("fail-nth");
        let result = call();
        // If this read fails itself, the call has no such point.
        let hit = match self.0.read_at(&mut left, 0) {
            Ok(len) => left[..len] == *b"0\n",
            Err(_) => false,
        };
        // If this write fails, its failure was the last.
        let _ = self.0.write_at(b"0", 0);
        let failed = |kind: &&str| {
            let left = fs::read_to_string(path(&times(kind)));
            left.expect("times").trim() == "0"
        };
        let kind = hit.then(|| KINDS.into_iter().find(failed).expect("one has failed"));
        (result, kind)
    }
}

fn times(kind: &str) -> String {
    format!("{kind}/times")
}
