// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Memory with holes, and system calls on any address.

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

pub const PAGE: usize = 4096;

/// Addresses that no user process can have mapped: the kernel's, the gap between, the last.
pub const FOREIGN_ADDRESSES: [u64; 6] = [
    0x0000_7fff_ffff_f000,
    0x0000_8000_0000_0000,
    0x8000_0000_0000_0000,
    0xffff_8880_0000_0000,
    0xffff_ffff_8100_0000,
    u64::MAX - 7,
];

/// Writes memory that cannot be read, of any kind, by `write` of an address and a length.
#[track_caller]
pub fn assert_unreadable_is_refused(mut write: impl FnMut(usize, usize) -> io::Result<usize>) {
    let map = Map::new(PAGE);
    map.protect(0..PAGE, ProtFlags::PROT_NONE);
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

// SAFETY: The memory belongs to the mapping, whichever thread holds that.
unsafe impl Send for Map {}
// SAFETY: A shared reference gives the address alone.
unsafe impl Sync for Map {}

impl Map {
    /// Maps `len` bytes, rounded up to whole pages.
    pub fn new(len: usize) -> Self {
        Self::new_with(len, MapFlags::MAP_NORESERVE)
    }

    /// Maps with flags beside that for a private mapping.
    pub fn new_with(len: usize, flags: MapFlags) -> Self {
        let len = len.next_multiple_of(PAGE).max(PAGE);
        let size = NonZeroUsize::new(len).expect("at least a page");
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_PRIVATE | flags;
        // SAFETY: The kernel chooses an address range that is free.
        let start = unsafe { mman::mmap_anonymous(None, size, protection, flags) }.expect("mmap");
        Self { start, len }
    }

    /// Maps `data` so that it ends where a page begins that cannot be accessed. Returns the
    /// mapping and where in it the data begins.
    pub fn before_hole(data: &[u8]) -> (Self, usize) {
        let room = data.len().next_multiple_of(PAGE);
        let mut map = Self::new(room + PAGE);
        let offset = room - data.len();
        map.bytes()[offset..room].copy_from_slice(data);
        map.protect(room..room + PAGE, ProtFlags::PROT_NONE);
        (map, offset)
    }

    /// Maps memory that the kernel gives huge pages to, wherever a whole one fits.
    pub fn huge(len: usize) -> Self {
        let map = Self::new(len);
        map.advise(0..map.len, MmapAdvise::MADV_HUGEPAGE);
        map
    }

    /// Puts pages of a file in the place of some of ours, to be read only.
    pub fn map_file(&self, range: Range<usize>, file: impl AsFd, offset: i64, flags: MapFlags) {
        let address = NonZeroUsize::new(self.pages(&range).addr().get());
        let len = NonZeroUsize::new(range.len()).expect("at least a page");
        let flags = flags | MapFlags::MAP_FIXED;
        // SAFETY: The pages are ours, and whoever refers to them now finds the file.
        unsafe { mman::mmap(address, len, ProtFlags::PROT_READ, flags, file, offset) }
            .expect("mmap");
    }

    /// Returns how many bytes of the mapping a line of /proc/self/smaps gives.
    pub fn smaps(&self, key: &str) -> usize {
        let text = fs::read_to_string("/proc/self/smaps").expect("smaps");
        let start = format!("{:x}-", self.address());
        let kibibytes: Option<usize> = text
            .lines()
            .skip_while(|line| !line.starts_with(&start))
            .find_map(|line| {
                let value = line.strip_prefix(key)?.strip_suffix("kB")?;
                value.trim().parse().ok()
            });
        kibibytes.unwrap_or_else(|| panic!("no {key} of {start}")) << 10
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn address(&self) -> usize {
        self.start.as_ptr() as usize
    }

    /// The memory; none of the pages touched may have been protected or unmapped.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: The mapping is `len` bytes long and borrowed for as long as the slice.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.len) }
    }

    pub fn protect(&self, range: Range<usize>, protection: ProtFlags) {
        let start = self.pages(&range);
        // SAFETY: The pages are ours, and whoever touches them now is killed.
        unsafe { mman::mprotect(start, range.len(), protection) }.expect("mprotect");
    }

    pub fn unmap(&self, range: Range<usize>) {
        let start = self.pages(&range);
        // SAFETY: The pages are ours, and whoever touches them now is killed.
        unsafe { mman::munmap(start, range.len()) }.expect("munmap");
    }

    /// Forgets the content of some pages.
    pub fn discard(&self, range: Range<usize>) {
        self.advise(range, MmapAdvise::MADV_DONTNEED);
    }

    pub fn advise(&self, range: Range<usize>, advice: MmapAdvise) {
        let start = self.pages(&range);
        // SAFETY: The pages are ours; at most they read as zero from now on.
        unsafe { mman::madvise(start, range.len(), advice) }.expect("madvise");
    }

    /// Moves pages to the same place in another mapping; ours read as zero from now on.
    pub fn move_to(&self, other: &Self, range: Range<usize>) {
        let (from, to) = (self.pages(&range), other.pages(&range));
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP;
        // SAFETY: The pages of both are ours, and stay mapped.
        let moved =
            unsafe { libc::mremap(from.as_ptr(), range.len(), range.len(), flags, to.as_ptr()) };
        assert_eq!(moved, to.as_ptr(), "mremap: {}", io::Error::last_os_error());
    }

    /// Writes a structure at any offset.
    pub fn put<T: Copy>(&mut self, offset: usize, value: T) {
        assert!(offset + mem::size_of::<T>() <= self.len);
        let target = self.bytes()[offset..].as_mut_ptr().cast::<T>();
        // SAFETY: There is room, as just checked.
        unsafe { ptr::write_unaligned(target, value) }
    }

    /// Reads a structure, of which any bytes are a value, from any offset.
    pub fn get<T: Copy>(&mut self, offset: usize) -> T {
        assert!(offset + mem::size_of::<T>() <= self.len);
        let source = self.bytes()[offset..].as_ptr().cast::<T>();
        // SAFETY: The bytes are there, as just checked, and make up a value.
        unsafe { ptr::read_unaligned(source) }
    }

    fn pages(&self, range: &Range<usize>) -> NonNull<c_void> {
        assert!(range.start % PAGE == 0 && range.end <= self.len);
        // SAFETY: The offset is within the mapping.
        unsafe { self.start.byte_add(range.start) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: Nobody can refer to the mapping any more.
        unsafe { mman::munmap(self.start, self.len) }.expect("munmap");
    }
}

/// `write(2)` of memory that need not be there.
pub fn write_from(file: impl AsFd, address: usize, len: usize) -> io::Result<usize> {
    // SAFETY: The kernel only reads, and checks the address itself: that is what is tested.
    let written = unsafe { libc::write(file.as_fd().as_raw_fd(), address as *const c_void, len) };
    usize::try_from(written).map_err(|_| io::Error::last_os_error())
}

/// `read(2)` into memory that need not be there.
pub fn read_into(file: impl AsFd, address: usize, len: usize) -> io::Result<usize> {
    // SAFETY: The kernel checks the address itself; callers give none that holds other data.
    let count = unsafe { libc::read(file.as_fd().as_raw_fd(), address as *mut c_void, len) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// `writev(2)` of pieces, given as address and length, that need not be there.
pub fn writev_from(file: impl AsFd, pieces: &[(usize, usize)]) -> io::Result<usize> {
    let pieces: Vec<_> = pieces
        .iter()
        .map(|&(address, len)| libc::iovec {
            iov_base: address as *mut c_void,
            iov_len: len,
        })
        .collect();
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: The kernel only reads, and checks the addresses itself: that is what is tested.
    let written = unsafe { libc::writev(fd, pieces.as_ptr(), pieces.len() as i32) };
    usize::try_from(written).map_err(|_| io::Error::last_os_error())
}

/// Address space in which the same mebibyte of one byte value appears over and over: as much data
/// as wanted in next to no memory.
pub struct Repeated {
    start: NonNull<c_void>,
    len: usize,
}

// SAFETY: A shared reference gives the address alone.
unsafe impl Sync for Repeated {}

impl Repeated {
    const UNIT: usize = 1 << 20;

    /// Maps at least `len` bytes, all of them `byte`.
    pub fn new(byte: u8, len: usize) -> Self {
        let len = len.next_multiple_of(Self::UNIT);
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(&vec![byte; Self::UNIT]).expect("write");
        let size = NonZeroUsize::new(len).expect("not empty");
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        // SAFETY: The kernel chooses an address range that is free.
        let start =
            unsafe { mman::mmap_anonymous(None, size, ProtFlags::PROT_NONE, flags) }.expect("mmap");
        let repeated = Self { start, len };
        for offset in (0..len).step_by(Self::UNIT) {
            let address = NonZeroUsize::new(repeated.address() + offset);
            let size = NonZeroUsize::new(Self::UNIT).expect("not empty");
            let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
            // SAFETY: The address range is ours, and nobody refers to it.
            unsafe { mman::mmap(address, size, ProtFlags::PROT_READ, flags, &file, 0) }
                .expect("mmap");
        }
        repeated
    }

    pub fn address(&self) -> usize {
        self.start.as_ptr() as usize
    }
}

impl Drop for Repeated {
    fn drop(&mut self) {
        // SAFETY: Nobody can refer to the mapping any more.
        unsafe { mman::munmap(self.start, self.len) }.expect("munmap");
    }
}
