// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Values, running checksums, and the laws of `combine`.

use adler32::Adler32;
use adler32::Hasher;
use adler32::Sum;
use adler32::MODULUS;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::common::adler;
use crate::common::theirs;
use crate::common::WORST_START;

/// Returns our checksum of the data in one piece.
fn ours(start: u32, data: &[u8]) -> u32 {
    let mut hasher = Hasher::resume(Sum {
        checksum: adler(start),
        length: 0,
    });
    hasher.update(data);
    assert_eq!(hasher.sum().length, data.len() as u64);
    hasher.sum().checksum.value()
}

fn value() -> impl Strategy<Value = Adler32> {
    (0..MODULUS, 0..MODULUS).prop_map(|(s1, s2)| adler(s2 << 16 | s1))
}

fn length() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..=i64::MAX as u64,
        0..=3 * u64::from(MODULUS),
        Just(i64::MAX as u64),
    ]
}

#[test]
fn known_answers() {
    for (data, expected) in [
        ("", 0x0000_0001),
        ("a", 0x0062_0062),
        ("abc", 0x024d_0127),
        ("abcde", 0x05c8_01f0),
        ("Wikipedia", 0x11e6_0398),
    ] {
        assert_eq!(ours(1, data.as_bytes()), expected, "{data:?}");
    }
}

#[test]
fn values() {
    for (value, possible) in [
        (0, true),
        (1, true),
        (WORST_START, true),
        (0xfff1_0000, false),
        (0x0000_fff1, false),
        (u32::MAX, false),
    ] {
        assert_eq!(Adler32::from_value(value).is_some(), possible, "{value:#x}");
        let bytes = value.to_be_bytes();
        let from_bytes = Adler32::from_be_bytes(bytes);
        assert_eq!(from_bytes, Adler32::from_value(value));
        assert!(from_bytes.is_none_or(|sum| sum.to_be_bytes() == bytes));
    }
    assert_eq!(Adler32::EMPTY.to_be_bytes(), [0, 0, 0, 1]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn agrees_with_others(start in value(), data in vec(any::<u8>(), 0..20_000)) {
        prop_assert_eq!(ours(start.value(), &data), theirs(start.value(), &data));
    }

    #[test]
    fn any_split_is_the_same(
        start in value(),
        pieces in vec(vec(any::<u8>(), 0..3000), 0..12),
    ) {
        let mut hasher = Hasher::resume(Sum { checksum: start, length: 7 });
        for piece in &pieces {
            hasher.update(piece);
        }
        let whole = pieces.concat();
        prop_assert_eq!(hasher.sum().checksum.value(), theirs(start.value(), &whole));
        prop_assert_eq!(hasher.sum().length, 7 + whole.len() as u64);
    }

    #[test]
    fn combine_of_parts_is_the_whole(
        start in value(),
        a in vec(any::<u8>(), 0..9000),
        b in vec(any::<u8>(), 0..9000),
    ) {
        let first = adler(ours(start.value(), &a));
        let part = adler(ours(1, &b));
        let whole = theirs(start.value(), &[a, b.clone()].concat());
        prop_assert_eq!(first.combine(part, b.len() as u64).value(), whole);
    }

    #[test]
    fn combine_with_nothing_changes_nothing(a in value(), len in length()) {
        prop_assert_eq!(a.combine(Adler32::EMPTY, 0), a);
        prop_assert_eq!(Adler32::EMPTY.combine(a, len), a);
    }

    #[test]
    fn combine_is_associative(
        a in value(),
        b in value(),
        c in value(),
        b_len in length(),
        c_len in length(),
    ) {
        let left = a.combine(b, b_len).combine(c, c_len);
        let right = a.combine(b.combine(c, c_len), b_len + c_len);
        prop_assert_eq!(left, right);
    }

    #[test]
    fn combine_over_any_length(a in value(), b in value(), len in length()) {
        prop_assert_eq!(a.combine(b, len).value(), combine_model(a.value(), b.value(), len));
    }
}

#[test]
fn combine_at_the_edges() {
    let modulus = u64::from(MODULUS);
    let around = [
        1 << 16,
        modulus,
        modulus * modulus,
        1 << 32,
        1 << 48,
        1 << 63,
    ];
    let lengths = around.into_iter().flat_map(|len| len - 1..=len + 1);
    let lengths = (0..=2).chain(lengths).chain(u64::MAX - 2..=u64::MAX);
    let values = [0, 1, 0xfff0, 0x0001_0000, 0xfff0_0000, WORST_START];
    for len in lengths {
        for a in values {
            for b in values {
                let combined = adler(a).combine(adler(b), len).value();
                let expected = combine_model(a, b, len);
                assert_eq!(combined, expected, "{a:#x}, {b:#x} of {len} bytes");
            }
        }
    }
}

/// Computes `combine` from the effect of a byte on the two sums.
///
/// A byte of value d turns (s1, s2) into (s1 + d, s2 + s1 + d). This is the linear map of a zero
/// byte plus a vector that depends on d alone. So the difference of two pairs of sums changes by
/// the map of `len` zero bytes only. Repeated squaring computes this map.
fn combine_model(a: u32, b: u32, mut len: u64) -> u32 {
    type Matrix = [[u128; 2]; 2];
    const M: u128 = MODULUS as u128;
    fn product(x: Matrix, y: Matrix) -> Matrix {
        [0, 1].map(|i| [0, 1].map(|j| (x[i][0] * y[0][j] + x[i][1] * y[1][j]) % M))
    }
    let mut zeros = [[1, 0], [0, 1]];
    let mut square = [[1, 0], [1, 1]];
    while len > 0 {
        if len & 1 == 1 {
            zeros = product(zeros, square);
        }
        square = product(square, square);
        len >>= 1;
    }
    let halves = |value: u32| [u128::from(value & 0xffff), u128::from(value >> 16)];
    let (a, b, empty) = (halves(a), halves(b), halves(1));
    let apart = [0, 1].map(|i| (a[i] + M - empty[i]) % M);
    let [s1, s2] = [0, 1].map(|i| (b[i] + zeros[i][0] * apart[0] + zeros[i][1] * apart[1]) % M);
    (s2 << 16 | s1) as u32
}
