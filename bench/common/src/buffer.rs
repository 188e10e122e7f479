// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Memory to measure on.

use std::ops::Deref;
use std::ops::DerefMut;

use fastrand::Rng;

const PAGE: usize = 4096;

/// Bytes that begin at a page boundary.
pub struct Buffer {
    memory: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// Makes a buffer of zeros.
    pub fn zeroed(len: usize) -> Self {
        let mut memory = vec![0; len + PAGE];
        let start = memory.as_ptr().align_offset(PAGE);
        memory.truncate(start + len);
        Self { memory, start }
    }

    /// Makes a buffer of random bytes, which are the same in every run.
    pub fn random(len: usize) -> Self {
        let mut buffer = Self::zeroed(len);
        Rng::with_seed(1).fill(&mut buffer);
        buffer
    }

    /// Returns the bytes and never frees them.
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

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..]
    }
}
