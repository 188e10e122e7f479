// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Read-only memory next to pages that are not accessible. An access outside the memory, or a write
//! to it, is a fault that ends the program.

use guarded::Guarded;

use crate::common::theirs;
use crate::common::WORST_START;
use crate::random;
use crate::Subject;
use crate::Test;

pub const TESTS: &[Test] = &[
    ("data_before_an_unmapped_page", before),
    ("data_behind_an_unmapped_page", behind),
];

const LONGEST: usize = 256 * 1024;

/// Returns all lengths up to more than a page, and longer ones in steps of 1021 bytes.
fn lengths() -> impl Iterator<Item = usize> {
    (0..=4096 + 64).chain((4096..=LONGEST).step_by(1021))
}

fn mapped() -> Guarded {
    let data = random(LONGEST);
    Guarded::new(LONGEST, |bytes| bytes.copy_from_slice(&data))
}

fn before(subject: Subject) {
    let bytes = mapped();
    for len in lengths() {
        let data = &bytes[bytes.len() - len..];
        let expected = theirs(WORST_START, data);
        assert_eq!(subject.update(WORST_START, data), expected, "{len}");
    }
}

fn behind(subject: Subject) {
    let bytes = mapped();
    for len in lengths() {
        let data = &bytes[..len];
        let expected = theirs(WORST_START, data);
        assert_eq!(subject.update(WORST_START, data), expected, "{len}");
    }
}
