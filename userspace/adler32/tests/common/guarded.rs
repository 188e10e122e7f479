// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Memory whose surroundings cannot be read.

use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::ptr::NonNull;
use std::slice;

use nix::sys::mman::mmap_anonymous;
use nix::sys::mman::mprotect;
use nix::sys::mman::munmap;
use nix::sys::mman::MapFlags;
use nix::sys::mman::ProtFlags;

/// What is mapped and protected at once.
pub const PAGE: usize = 4096;

/// Whole pages of bytes between two pages that cannot be accessed: to read before or behind them is
/// a fault, and so is to write to them.
///
/// # Invariants
///
/// `start` is where a mapping begins that belongs to this: a page, `len` bytes, which can be read
/// and do not change, and another page.
pub struct Guarded {
    start: NonNull<c_void>,
    len: usize,
}

impl Guarded {
    /// Maps at least `len` bytes, which are zeros until `fill` has changed them.
    pub fn new(len: usize, fill: impl FnOnce(&mut [u8])) -> Self {
        let len = len.next_multiple_of(PAGE);
        let size = NonZeroUsize::new(len + 2 * PAGE).expect("at least two pages");
        let writable = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: The kernel chooses addresses that are free.
        let start = unsafe { mmap_anonymous(None, size, writable, MapFlags::MAP_PRIVATE) };
        // INVARIANT: The mapping is that long; nothing but `fill` changes it.
        let guarded = Self {
            start: start.expect("mmap"),
            len,
        };
        // SAFETY: The bytes are mapped, writable, and not known to anybody else.
        fill(unsafe { slice::from_raw_parts_mut(guarded.bytes_at().as_ptr(), len) });
        guarded.protect(0, PAGE, ProtFlags::PROT_NONE);
        guarded.protect(PAGE, len, ProtFlags::PROT_READ);
        guarded.protect(PAGE + len, PAGE, ProtFlags::PROT_NONE);
        guarded
    }

    /// Returns where the bytes begin.
    fn bytes_at(&self) -> NonNull<u8> {
        // SAFETY: By the type invariant, a page comes first.
        unsafe { self.start.cast().byte_add(PAGE) }
    }

    fn protect(&self, offset: usize, len: usize, protection: ProtFlags) {
        // SAFETY: The range is within the mapping, and what is changed is what the type promises.
        unsafe { mprotect(self.start.byte_add(offset), len, protection) }.expect("mprotect");
    }
}

impl Deref for Guarded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: By the type invariant.
        unsafe { slice::from_raw_parts(self.bytes_at().as_ptr(), self.len) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: The mapping belongs to this alone.
        unsafe { munmap(self.start, self.len + 2 * PAGE) }.expect("munmap");
    }
}
