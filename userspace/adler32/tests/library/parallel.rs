// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The checksum by several threads, which must be the same as by one.

use std::num::NonZero;

use adler32::processor::update_parallel;
use adler32::processor::PARALLEL_FROM;

use crate::common::adler;
use crate::common::theirs;
use crate::common::WORST_START;

const MIB: usize = 1024 * 1024;

/// Lengths around the one from which several threads work, and around multiples of the parts that
/// they take.
const LENGTHS: [usize; 10] = [
    0,
    1,
    MIB + 1,
    PARALLEL_FROM - 1,
    PARALLEL_FROM,
    PARALLEL_FROM + 1,
    PARALLEL_FROM + MIB - 1,
    PARALLEL_FROM + MIB,
    PARALLEL_FROM + MIB + 1,
    3 * PARALLEL_FROM + 5552,
];

/// Where the data begins in memory, also at odd addresses.
const OFFSETS: [usize; 3] = [0, 1, 61];

#[track_caller]
fn assert_is_theirs(start: u32, data: &[u8]) {
    let expected = theirs(start, data);
    for threads in [0, 1, 2, 3, 8].map(NonZero::new) {
        let found = update_parallel(adler(start), data, threads).value();
        assert_eq!(found, expected, "{} bytes, {threads:?} threads", data.len());
    }
}

fn assert_right_everywhere(start: u32, byte: impl Fn(u32) -> u8) {
    let bytes: Vec<u8> = (0..3 * PARALLEL_FROM as u32 + 8192).map(byte).collect();
    for len in LENGTHS {
        for offset in OFFSETS {
            assert_is_theirs(start, &bytes[offset..offset + len]);
        }
    }
}

#[test]
fn largest_bytes() {
    assert_right_everywhere(WORST_START, |_| 0xff);
}

#[test]
fn random_bytes() {
    assert_right_everywhere(1, |i| {
        (i.wrapping_mul(i | 1).wrapping_mul(2_654_435_761) >> 13) as u8
    });
}

#[test]
fn callers_at_the_same_time() {
    let data = vec![0xa5; 2 * PARALLEL_FROM + 77];
    let expected = theirs(1, &data);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(update_parallel(adler(1), &data, None).value(), expected));
        }
    });
}
