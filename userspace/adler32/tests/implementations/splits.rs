// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Data in several pieces.

use adler32::Hasher;
use adler32::Sum;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::common::adler;
use crate::common::theirs;
use crate::random;
use crate::Subject;
use crate::Test;

pub const TESTS: &[Test] = &[("any_split_is_the_same", any_split)];

/// Returns sizes of pieces. Implementations treat most of them as short.
fn sizes() -> impl Strategy<Value = Vec<usize>> {
    vec(
        prop_oneof![6 => 0..600usize, 2 => 0..10_000usize, 1 => 0..200_000usize],
        0..16,
    )
}

fn any_split(subject: Subject) {
    let bytes = random(16 * 200_000);
    TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..Default::default()
    })
    .run(&sizes(), |sizes| {
        let start = Sum {
            checksum: adler(0x1234_5678),
            length: 7,
        };
        let (mut running, mut hasher) = (start.checksum.value(), Hasher::resume(start));
        let mut rest = &bytes[..];
        for size in sizes {
            let (piece, behind) = rest.split_at(size);
            running = subject.update(running, piece);
            hasher.update(piece);
            rest = behind;
        }
        let whole = &bytes[..bytes.len() - rest.len()];
        let expected = theirs(start.checksum.value(), whole);
        prop_assert_eq!(running, expected);
        prop_assert_eq!(hasher.sum().checksum.value(), expected);
        prop_assert_eq!(hasher.sum().length, 7 + whole.len() as u64);
        Ok(())
    })
    .unwrap();
}
