// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A checksum and a length.

use crate::algorithm::Adler32;
use crate::algorithm::MODULUS;

/// A checksum together with the number of bytes it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// The checksum.
    pub checksum: Adler32,
    /// The number of bytes.
    pub length: u64,
}

impl Sum {
    /// The checksum of no bytes.
    pub const EMPTY: Self = Self {
        checksum: Adler32::EMPTY,
        length: 0,
    };

    /// Returns the checksum of `length` zeros.
    ///
    /// ```
    /// use adler32::Hasher;
    /// use adler32::Sum;
    ///
    /// let mut hasher = Hasher::new();
    /// hasher.update(&[0; 70_000]);
    /// assert_eq!(Sum::zeros(70_000), hasher.sum());
    /// ```
    pub const fn zeros(length: u64) -> Self {
        let sum = (length % MODULUS as u64) as u32;
        Self {
            checksum: Adler32::from_value(sum << 16 | 1).expect("the checksum of zeros"),
            length,
        }
    }

    /// Returns the checksum of the bytes that `self` covers followed by the bytes that `next`
    /// covers.
    ///
    /// ```
    /// use adler32::Hasher;
    ///
    /// let [mut first, mut next, mut whole] = [const { Hasher::new() }; 3];
    /// first.update(b"Wiki");
    /// next.update(b"pedia");
    /// whole.update(b"Wikipedia");
    /// assert_eq!(first.sum().combine(next.sum()), whole.sum());
    /// ```
    pub const fn combine(self, next: Self) -> Self {
        Self {
            checksum: self.checksum.combine(next.checksum, next.length),
            length: self.length + next.length,
        }
    }
}
