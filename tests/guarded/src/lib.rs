// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Memory between pages that cannot be accessed.

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

/// The unit in which memory is mapped and protected.
pub const PAGE: usize = 4096;

/// Whole pages of bytes between two pages that cannot be accessed. Reading before or behind the
/// bytes ends the process with a fault, as does writing to them.
///
/// # Invariants
///
/// This value owns the mapping that begins at `start`: a page, `len` bytes, which can be read and
/// do not change, and another page.
pub struct Guarded {
    start: NonNull<c_void>,
    len: usize,
}

impl Guarded {
    /// Maps at least `len` bytes. They are zeros, which `fill` may overwrite.
    pub fn new(len: usize, fill: impl FnOnce(&mut [u8])) -> Self {
        let len = len.next_multiple_of(PAGE);
        let size = NonZeroUsize::new(len + 2 * PAGE).expect("at least two pages");
        let writable = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: The kernel chooses free addresses.
        let start = unsafe { mmap_anonymous(None, size, writable, MapFlags::MAP_PRIVATE) };
        // INVARIANT: The mapping is that long, and only `fill` changes it.
        let guarded = Self {
            start: start.expect("mmap"),
            len,
        };
        // SAFETY: The bytes are mapped and writable, and no other code refers to them yet.
        fill(unsafe { slice::from_raw_parts_mut(guarded.bytes_at().as_ptr(), len) });
        guarded.protect(0, PAGE, ProtFlags::PROT_NONE);
        guarded.protect(PAGE, len, ProtFlags::PROT_READ);
        guarded.protect(PAGE + len, PAGE, ProtFlags::PROT_NONE);
        guarded
    }

    /// Returns the address of the first byte.
    fn bytes_at(&self) -> NonNull<u8> {
        // SAFETY: By the type invariant, the mapping begins with another page.
        unsafe { self.start.cast().byte_add(PAGE) }
    }

    fn protect(&self, offset: usize, len: usize, protection: ProtFlags) {
        // SAFETY: `new` passes ranges within the mapping, and no slice of the bytes is in use.
        unsafe { mprotect(self.start.byte_add(offset), len, protection) }.expect("mprotect");
    }
}

impl Deref for Guarded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: By the type invariant, the bytes can be read and do not change.
        unsafe { slice::from_raw_parts(self.bytes_at().as_ptr(), self.len) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, this value owns the mapping.
        unsafe { munmap(self.start, self.len + 2 * PAGE) }.expect("munmap");
    }
}
