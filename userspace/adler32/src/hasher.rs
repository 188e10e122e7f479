// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A running checksum on the processor.

use std::io;

use crate::processor;
use crate::sum::Sum;

/// A running checksum, computed by this process.
///
/// ```
/// use adler32::Hasher;
///
/// let mut hasher = Hasher::new();
/// hasher.update(b"Wiki");
/// hasher.update(b"pedia");
/// assert_eq!(hasher.sum().checksum.value(), 0x11e6_0398);
/// ```
#[derive(Clone, Debug)]
pub struct Hasher(Sum);

impl Hasher {
    /// Starts with no bytes.
    pub const fn new() -> Self {
        Self::resume(Sum::EMPTY)
    }

    /// Continues after the bytes that `sum` covers.
    pub const fn resume(sum: Sum) -> Self {
        Self(sum)
    }

    /// Appends `data`.
    pub fn update(&mut self, data: &[u8]) {
        self.0.checksum = processor::update(self.0.checksum, data);
        self.0.length += data.len() as u64;
    }

    /// Returns the checksum of all bytes so far.
    pub const fn sum(&self) -> Sum {
        self.0
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl io::Write for Hasher {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.update(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
