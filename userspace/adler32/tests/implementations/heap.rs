// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Blocks of the heap that begin with bytes that were never written, and end with the data.
//! Valgrind, which runs this program, reports every access outside a block and every result that
//! depends on bytes that were never written.

use std::slice;

use adler32::algorithm::verify::definition;

use crate::common::adler;
use crate::random;
use crate::Subject;
use crate::Test;

pub const TESTS: &[Test] = &[("data_behind_unwritten_bytes", unwritten)];

/// Returns lengths, few enough for Valgrind.
fn lengths() -> impl Iterator<Item = usize> {
    let around = |len: usize| len - 1..=len + 1;
    let boundaries = [1024, 2048, 4096, 5552, 8192, 16384, 65536].into_iter();
    (0..=600).chain(boundaries.flat_map(around))
}

fn unwritten(subject: Subject) {
    let written = random(128 * 1024);
    for len in lengths() {
        let data = &written[..len];
        let expected = definition(adler(1), data).value();
        for before in 0..=32 {
            let mut block = Box::new_uninit_slice(before + len);
            let place = &mut block[before..];
            for (to, from) in place.iter_mut().zip(data) {
                to.write(*from);
            }
            // SAFETY: The loop above has written every byte of `place`.
            let data = unsafe { slice::from_raw_parts(place.as_ptr().cast(), len) };
            let found = subject.update(1, data);
            assert_eq!(found, expected, "{len} bytes behind {before}");
        }
    }
}
