// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Memory with holes, and system calls with any address.

use std::ffi::c_void;
use std::fs;
use std::io;
use std::io::Write;
use std::mem;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::ptr;
use std::ptr::NonNull;

use nix::sys::mman;
use nix::sys::mman::MapFlags;
use nix::sys::mman::MmapAdvise;
use nix::sys::mman::ProtFlags;
use nix::unistd;
use nix::unistd::SysconfVar;

use crate::usage;

/// Returns the size of a page.
pub fn page_size() -> usize {
    let size = unistd::sysconf(SysconfVar::PAGE_SIZE).expect("sysconf");
    size.expect("a size") as usize
}

/// Why a test is skipped if [`Map::huge`] returns `None`.
pub const NO_HUGE_PAGES: &str = "this kernel has no transparent huge pages";

/// Addresses that no process can map: addresses of the kernel, of the gap below them, and the last.
pub const FOREIGN_ADDRESSES: [u64; 6] = [
    0x0000_7fff_ffff_f000,
    0x0000_8000_0000_0000,
    0x8000_0000_0000_0000,
    0xffff_8880_0000_0000,
    0xffff_ffff_8100_0000,
    u64::MAX - 7,
];

/// Calls `write` with the address and the length of every kind of memory that cannot be read, and
/// fails unless each call returns EFAULT.
#[track_caller]
pub fn assert_unreadable_is_refused(mut write: impl FnMut(usize, usize) -> io::Result<usize>) {
    let map = Map::new(page_size());
    map.protect(0..page_size(), ProtFlags::PROT_NONE);
    for address in FOREIGN_ADDRESSES
        .into_iter()
        .chain([0, 1, map.address() as u64])
    {
        for len in [1, 4096, 100_000] {
            let refused = write(address as usize, len).map_err(|error| error.raw_os_error());
            assert_eq!(refused, Err(Some(libc::EFAULT)), "{len} at {address:#x}");
        }
    }
}

/// An anonymous mapping, readable and writable at first.
pub struct Map {
    start: NonNull<c_void>,
    len: usize,
}

// SAFETY: The memory belongs to the mapping and to no thread.
unsafe impl Send for Map {}
// SAFETY: No method reads or writes the memory through a shared reference.
unsafe impl Sync for Map {}

impl Map {
    /// Maps `len` bytes, rounded up to whole pages.
    pub fn new(len: usize) -> Self {
        Self::new_with(len, MapFlags::MAP_NORESERVE)
    }

    /// Maps private memory with more flags.
    pub fn new_with(len: usize, flags: MapFlags) -> Self {
        let len = len.next_multiple_of(page_size()).max(page_size());
        let size = NonZeroUsize::new(len).expect("at least a page");
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_PRIVATE | flags;
        // SAFETY: The kernel chooses an address range that is free.
        let start = unsafe { mman::mmap_anonymous(None, size, protection, flags) }.expect("mmap");
        Self { start, len }
    }

    /// Maps `data` so that it ends just before a page that cannot be accessed. Returns the mapping
    /// and the offset of the data in it.
    pub fn before_hole(data: &[u8]) -> (Self, usize) {
        let room = data.len().next_multiple_of(page_size());
        let mut map = Self::new(room + page_size());
        let offset = room - data.len();
        map.bytes()[offset..room].copy_from_slice(data);
        map.protect(room..room + page_size(), ProtFlags::PROT_NONE);
        (map, offset)
    }

    /// Maps as much memory as `pages` huge pages have, and lets the kernel use huge pages there.
    /// Returns `None` if the kernel cannot, as a real-time kernel.
    pub fn huge(pages: usize) -> Option<Self> {
        let size = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size").ok()?;
        let size: usize = size.trim().parse().expect("the size of a huge page");
        let map = Self::new(pages * size);
        map.advise(0..map.len, MmapAdvise::MADV_HUGEPAGE);
        Some(map)
    }

    /// Maps at least `len` bytes that are all `byte`. They take little memory: the same 8 MiB are
    /// mapped repeatedly.
    pub fn repeated(byte: u8, len: usize) -> Self {
        const UNIT: usize = 8 << 20;
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(&vec![byte; UNIT]).expect("write");
        let map = Self::new(len.next_multiple_of(UNIT));
        for start in (0..map.len).step_by(UNIT) {
            map.map_file(start..start + UNIT, &file, 0, MapFlags::MAP_SHARED);
        }
        map
    }

    /// Replaces pages by pages of a file, which can only be read.
    pub fn map_file(&self, range: Range<usize>, file: impl AsFd, offset: i64, flags: MapFlags) {
        let address = NonZeroUsize::new(self.pages(&range).addr().get());
        let len = NonZeroUsize::new(range.len()).expect("at least a page");
        let flags = flags | MapFlags::MAP_FIXED;
        // SAFETY: The pages belong to this mapping, and stay mapped.
        unsafe { mman::mmap(address, len, ProtFlags::PROT_READ, flags, file, offset) }
            .expect("mmap");
    }

    /// Returns the bytes in the line `key` for this mapping in `/proc/self/smaps`.
    pub fn smaps(&self, key: &str) -> usize {
        let text = fs::read_to_string("/proc/self/smaps").expect("smaps");
        let start = text.find(&format!("\n{:x}-", self.address()));
        let start = start.expect("the mapping is in smaps");
        (usage::count(&text[start..], key) << 10) as usize
    }

    /// Returns how many pages are in memory. A page of a file is if it is in the page cache.
    pub fn pages_in_memory(&self) -> usize {
        let mut pages = vec![0; self.len / page_size()];
        // SAFETY: `pages` has a byte for each page of the mapping.
        let result = unsafe { libc::mincore(self.start.as_ptr(), self.len, pages.as_mut_ptr()) };
        assert_eq!(result, 0, "mincore: {}", io::Error::last_os_error());
        pages.into_iter().filter(|page| page & 1 == 1).count()
    }

    /// Returns how many bytes are mapped.
    pub fn size(&self) -> usize {
        self.len
    }

    pub fn address(&self) -> usize {
        self.start.as_ptr() as usize
    }

    /// Returns the memory. The caller touches no page that is protected or unmapped.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: The mapping is `len` bytes long and borrowed for as long as the slice.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.len) }
    }

    pub fn protect(&self, range: Range<usize>, protection: ProtFlags) {
        let start = self.pages(&range);
        // SAFETY: The pages belong to this mapping. A forbidden access kills the process.
        unsafe { mman::mprotect(start, range.len(), protection) }.expect("mprotect");
    }

    pub fn unmap(&self, range: Range<usize>) {
        let start = self.pages(&range);
        // SAFETY: The pages belong to this mapping. An access to them kills the process.
        unsafe { mman::munmap(start, range.len()) }.expect("munmap");
    }

    /// Discards the content of pages, which then read as zeros.
    pub fn discard(&self, range: Range<usize>) {
        self.advise(range, MmapAdvise::MADV_DONTNEED);
    }

    pub fn advise(&self, range: Range<usize>, advice: MmapAdvise) {
        let start = self.pages(&range);
        // SAFETY: The pages belong to this mapping. The advice changes at most their content.
        unsafe { mman::madvise(start, range.len(), advice) }.expect("madvise");
    }

    /// Moves pages to the same offset in another mapping. Here they then read as zeros.
    pub fn move_to(&self, other: &Self, range: Range<usize>) {
        let (from, to) = (self.pages(&range), other.pages(&range));
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP;
        // SAFETY: The pages belong to the two mappings, and stay mapped in both.
        let moved =
            unsafe { libc::mremap(from.as_ptr(), range.len(), range.len(), flags, to.as_ptr()) };
        assert_eq!(moved, to.as_ptr(), "mremap: {}", io::Error::last_os_error());
    }

    /// Writes a structure at any offset.
    pub fn put<T: Copy>(&mut self, offset: usize, value: T) {
        assert!(offset + mem::size_of::<T>() <= self.len);
        let target = self.bytes()[offset..].as_mut_ptr().cast::<T>();
        // SAFETY: The assertion above ensures that there is room.
        unsafe { ptr::write_unaligned(target, value) }
    }

    /// Reads a structure, for which any bytes are valid, from any offset.
    pub fn get<T: Copy>(&mut self, offset: usize) -> T {
        assert!(offset + mem::size_of::<T>() <= self.len);
        let source = self.bytes()[offset..].as_ptr().cast::<T>();
        // SAFETY: The assertion ensures that the bytes exist, and the caller that they are valid.
        unsafe { ptr::read_unaligned(source) }
    }

    fn pages(&self, range: &Range<usize>) -> NonNull<c_void> {
        assert!(range.start % page_size() == 0 && range.end <= self.len);
        // SAFETY: The assertion above ensures that the offset is within the mapping.
        unsafe { self.start.byte_add(range.start) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: No reference to the memory outlives the mapping.
        unsafe { mman::munmap(self.start, self.len) }.expect("munmap");
    }
}

/// Returns what a system call that transfers bytes has returned.
pub fn transferred(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Describes memory, which need not exist.
pub fn iovec(address: usize, len: usize) -> libc::iovec {
    libc::iovec {
        iov_base: ptr::with_exposed_provenance_mut(address),
        iov_len: len,
    }
}

/// Calls `write(2)` with memory that need not exist.
pub fn write_from(file: impl AsFd, address: usize, len: usize) -> io::Result<usize> {
    // SAFETY: The kernel only reads the memory, and fails if it does not exist.
    transferred(unsafe { libc::write(file.as_fd().as_raw_fd(), address as *const c_void, len) })
}

/// Calls `read(2)` with memory that need not exist.
pub fn read_into(file: impl AsFd, address: usize, len: usize) -> io::Result<usize> {
    // SAFETY: Callers pass memory that holds nothing else, or that does not exist.
    transferred(unsafe { libc::read(file.as_fd().as_raw_fd(), address as *mut c_void, len) })
}

/// Calls `writev(2)` with pieces, each an address and a length, which need not exist.
pub fn writev_from(file: impl AsFd, pieces: &[(usize, usize)]) -> io::Result<usize> {
    let pieces: Vec<_> = pieces
        .iter()
        .map(|&(address, len)| iovec(address, len))
        .collect();
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: The kernel only reads the memory, and fails if it does not exist.
    transferred(unsafe { libc::writev(fd, pieces.as_ptr(), pieces.len() as i32) })
}
