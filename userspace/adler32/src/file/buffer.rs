// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Memory to read into.

use std::cell::Cell;
use std::ptr;
use std::slice;

use rustix::io::Errno;
use rustix::mm::madvise;
use rustix::mm::mmap_anonymous;
use rustix::mm::munmap;
use rustix::mm::Advice;
use rustix::mm::MapFlags;
use rustix::mm::ProtFlags;

use super::LONG;
use super::LONG_PIECE;
use super::PAGE;
use super::PIECE;

/// Memory for short pieces, and for long ones when they are needed.
///
/// The memory begins at the start of a page, as the kernel's copy of the file does. Memory from
/// `malloc` begins 16 bytes after the start of a page. Reading into it, which the kernel does by
/// `rep movsb`, ran at 0.4 to 0.75 times the speed.
pub struct Buffer {
    short: Vec<u8>,
    /// `None` until it is needed, and `Some(None)` if the system has no memory for it.
    long: Option<Option<HugePage>>,
    /// How many bytes have been read into the memory so far.
    pub seen: u64,
}

thread_local! {
    // Each thread keeps its buffer for the next file.
    static BUFFER: Cell<Buffer> = const { Cell::new(Buffer::EMPTY) };
}

impl Buffer {
    const EMPTY: Self = Self {
        short: Vec::new(),
        long: None,
        seen: 0,
    };

    /// Takes the buffer of this thread.
    pub fn take() -> Self {
        BUFFER.replace(Self::EMPTY)
    }

    /// Keeps the buffer for this thread.
    pub fn keep(self) {
        BUFFER.set(self);
    }

    /// Makes this thread's memory for a long piece, which is then used for all pieces. Returns
    /// whether the system has memory for it.
    pub fn reserve() -> bool {
        let mut buffer = Self::take();
        let reserved = buffer.reserve_long();
        buffer.keep();
        reserved
    }

    fn reserve_long(&mut self) -> bool {
        let long = self.long.get_or_insert_with(|| HugePage::new().ok());
        long.is_some()
    }

    /// Returns the memory for the next piece. A direct read is a request to the disk, and should be
    /// long. If the system has no memory for a long piece, the memory is for a short one.
    pub fn piece(&mut self, direct: bool) -> &mut [u8] {
        if direct || self.seen >= LONG {
            self.reserve_long();
        }
        if let Some(Some(long)) = &mut self.long {
            return long.memory();
        }
        self.short.resize(PAGE + PIECE, 0);
        let start = self.short.as_ptr().align_offset(PAGE);
        &mut self.short[start..start + PIECE]
    }
}

/// Memory for a long piece, which can be one huge page.
///
/// The kernel splits direct reads into a huge page into fewer requests. On a loop device that was
/// limited to 125 requests in a second, `adler32 sum --direct` read at 0.02 GB/s in pieces of 128
/// KiB, at 0.07 GB/s in pieces of 2 MiB, as `dd iflag=direct` with 2 or 16 MiB (the device takes
/// 128 pages in a request), and at 0.13 to 0.16 GB/s into huge pages. One thread that reads through
/// the page cache read at 0.12 GB/s. `make bench-cli` measures such a device.
///
/// # Invariants
///
/// `0` is the address of a private mapping of `2 * LONG_PIECE` bytes, which this value owns.
struct HugePage(*mut u8);

impl HugePage {
    fn new() -> Result<Self, Errno> {
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: A new mapping at an address that the kernel chooses touches no other memory.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), 2 * LONG_PIECE, access, flags)? };
        // INVARIANT: The mapping is new.
        let mut page = Self(start.cast());
        let memory = page.memory().as_mut_ptr().cast();
        // Without huge pages, only the requests of direct reads are shorter.
        // SAFETY: The advice does not change the content of the memory.
        let _ = unsafe { madvise(memory, LONG_PIECE, Advice::LinuxHugepage) };
        Ok(page)
    }

    /// Returns the memory, whose address is a multiple of its length.
    fn memory(&mut self) -> &mut [u8] {
        let start = self.0.align_offset(LONG_PIECE);
        // SAFETY: By the type invariant, the mapping contains these bytes, which only this value
        // refers to. The kernel has set them to zero.
        unsafe { slice::from_raw_parts_mut(self.0.add(start), LONG_PIECE) }
    }
}

impl Drop for HugePage {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, this value owns the mapping. No slice of it is left.
        let _ = unsafe { munmap(self.0.cast(), 2 * LONG_PIECE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_begin_with_a_page() {
        for (seen, direct, len) in [
            (0, false, PIECE),
            (LONG - 1, false, PIECE),
            (LONG, false, LONG_PIECE),
            (0, true, LONG_PIECE),
        ] {
            let mut buffer = Buffer::EMPTY;
            buffer.seen = seen;
            let piece = buffer.piece(direct);
            assert_eq!((piece.as_ptr() as usize % PAGE, piece.len()), (0, len));
        }
    }

    #[test]
    fn pieces_are_short_without_memory() {
        let mut buffer = Buffer::EMPTY;
        buffer.long = Some(None);
        assert_eq!(buffer.piece(true).len(), PIECE);
    }
}
