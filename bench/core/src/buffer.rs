// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Memory to measure on.

use std::ops::Deref;

/// Alignment of the first byte.
const ALIGN: usize = 4096;

/// Bytes that begin with a page.
pub struct Buffer {
    memory: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// Makes a buffer of random bytes, the same each time.
    pub fn random(len: usize) -> Self {
        let mut memory = vec![0; len + ALIGN];
        let start = memory.as_ptr().align_offset(ALIGN);
        memory.truncate(start + len);
        // xorshift64 (Marsaglia, 2003)
        let mut x: u64 = 0x9e37_79b9_7f4a_7c15;
        for bytes in memory.chunks_mut(8) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            bytes.copy_from_slice(&x.to_le_bytes()[..bytes.len()]);
        }
        Self { memory, start }
    }

    /// Returns the bytes, never to be freed.
    pub fn leak(self) -> &'static mut [u8] {
        &mut self.memory.leak()[self.start..]
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..]
    }
}
