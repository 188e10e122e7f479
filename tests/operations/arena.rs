// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The memory, the file and the pipes that operations pass to the kernel.

use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;

use nix::fcntl;
use nix::fcntl::SpliceFFlags;
use nix::sys::memfd;
use nix::sys::memfd::MFdFlags;
use nix::sys::mman;
use nix::sys::mman::MapFlags;
use nix::sys::mman::ProtFlags;
use nix::unistd;

use crate::operation::Fill;
use crate::operation::Pipe;
use crate::operation::Place;
use crate::operation::Room;
use crate::operation::Span;
use crate::operation::EDGE;
use crate::operation::MEMORY;
use adler32_tests::memory;
use adler32_tests::memory::page_size;
use adler32_tests::memory::Map;
use adler32_tests::reference;

/// The same data in several kinds of memory and in a file.
pub struct Arena {
    data: Vec<u8>,
    inherited: Map,
    own: Map,
    edge: Cliff,
    /// The memory that the kernel writes to.
    sink: Cliff,
    pub file: File,
    /// Memory in which every byte is [`EQUAL`].
    pub equal: Map,
}

/// Every byte of [`Arena::equal`].
pub const EQUAL: u8 = 0xe5;

/// A longer span may end at an address that no process can map.
const FARTHEST: usize = 1 << 31;

/// Data to pass to the kernel, of which the end may be missing.
pub struct Data<'a> {
    pub address: usize,
    pub len: usize,
    /// The bytes that exist.
    pub there: &'a [u8],
    /// Whether the kernel may refuse the address and the length without an access to the memory.
    pub foreign: bool,
}

impl Data<'_> {
    /// Returns whether all of the data exists.
    pub fn is_whole(&self) -> bool {
        self.there.len() == self.len
    }
}

/// Memory for the kernel to write to.
pub struct Destination {
    pub address: usize,
    pub len: usize,
    /// How many of the bytes exist.
    pub there: usize,
    pub foreign: bool,
}

impl Arena {
    pub fn new() -> Self {
        let data = reference::noise(MEMORY, 1);
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(&data).expect("write");
        let filled = |data: &[u8]| {
            let mut map = Map::new(data.len());
            map.bytes()[..data.len()].copy_from_slice(data);
            map
        };
        Self {
            inherited: filled(&data),
            own: filled(&data),
            edge: Cliff::new(&data[..EDGE]),
            sink: Cliff::new(&vec![0; page_size()]),
            equal: filled(&vec![EQUAL; MEMORY]),
            file,
            data,
        }
    }

    /// Unshares the process's own memory after a fork, by a write to each page.
    pub fn unshare(&self) {
        for map in [&self.own, &self.equal] {
            for offset in (0..map.size()).step_by(page_size()) {
                let byte = (map.address() + offset) as *mut u8;
                // SAFETY: The byte is in the mapping, and no reference to it exists.
                unsafe { byte.write_volatile(byte.read_volatile()) };
            }
        }
    }

    /// Returns the content of the file, and of all memory except [`Arena::equal`].
    pub fn content(&self) -> &[u8] {
        &self.data
    }

    /// Returns the data of a span.
    pub fn data(&self, span: Span) -> Data<'_> {
        let (address, len, there) = match span {
            Span::Own { offset, len } => (
                self.own.address() + offset,
                len,
                &self.data[offset..][..len],
            ),
            Span::Inherited { offset, len } => (
                self.inherited.address() + offset,
                len,
                &self.data[offset..][..len],
            ),
            Span::Edge { there, len } => {
                let len = len as usize;
                let bytes = &self.data[EDGE - there..][..there.min(len)];
                (self.edge.end - there, len, bytes)
            }
            Span::Foreign { address, len } => (address as usize, len as usize, &[][..]),
        };
        Data {
            address,
            len,
            there,
            foreign: matches!(span, Span::Foreign { .. }) || len > FARTHEST,
        }
    }

    /// Returns the memory for a read, filled with a pattern.
    pub fn destination(&self, room: Room) -> Destination {
        self.sink.fill(0xee);
        match room {
            Room::There { len } => Destination {
                address: self.sink.end - page_size(),
                len,
                there: len,
                foreign: false,
            },
            Room::Edge { there, len } => Destination {
                address: self.sink.end - there,
                len,
                there: there.min(len),
                foreign: false,
            },
            Room::Foreign { address, len } => Destination {
                address: address as usize,
                len,
                there: 0,
                foreign: true,
            },
        }
    }

    /// Fails unless `bytes` are at the start of the destination and the kernel wrote nothing else.
    pub fn check_destination(&self, target: &Destination, bytes: &[u8]) {
        let memory = self.sink.bytes();
        let start = target.address - (self.sink.end - page_size());
        let (before, rest) = memory.split_at(start);
        let (put, after) = rest.split_at(bytes.len());
        assert_eq!(put, bytes, "what was read");
        let untouched = before.iter().chain(after).all(|&byte| byte == 0xee);
        assert!(untouched, "the kernel wrote to other memory");
    }

    /// Puts the structure of an ioctl in a place, as far as memory exists there. Returns its
    /// address and whether all of it exists.
    pub fn argument<T: Copy>(&self, place: Place, value: T) -> (usize, bool) {
        let size = size_of::<T>();
        let (address, there) = match place {
            Place::There => (self.sink.end - page_size(), size),
            Place::Edge { there } => (self.sink.end - there, there.min(size)),
            Place::Foreign { address } => (address as usize, 0),
        };
        if there > 0 {
            // SAFETY: The sink has this many bytes here, and no reference to them exists.
            unsafe {
                (&raw const value)
                    .cast::<u8>()
                    .copy_to(address as *mut u8, there)
            };
        }
        (address, there == size)
    }

    /// Returns the structure, for which any bytes are valid, at an address at which
    /// [`Self::argument`] has put all of it.
    pub fn result<T: Copy>(&self, address: usize) -> T {
        // SAFETY: The bytes are in the sink, as the caller ensures, and they are valid.
        unsafe { (address as *const T).read_unaligned() }
    }

    /// Returns the reading end of a pipe with content. The writing end is closed.
    pub fn pipe(&self, pipe: Pipe) -> OwnedFd {
        let (reader, writer) = unistd::pipe().expect("pipe");
        let data = self.data(Span::Own {
            offset: pipe.offset,
            len: pipe.len,
        });
        let fill = |writer: &OwnedFd| {
            let written = unistd::write(writer, data.there);
            assert_eq!(written, Ok(pipe.len), "write to a pipe");
        };
        match pipe.filled_by {
            Fill::Write => fill(&writer),
            Fill::Vmsplice => {
                let piece = memory::iovec(data.address, data.len);
                // SAFETY: The memory stays mapped, and nothing writes to it.
                let count = unsafe { libc::vmsplice(writer.as_raw_fd(), &piece, 1, 0) };
                assert_eq!(count, pipe.len as isize, "vmsplice");
            }
            Fill::Tee => {
                let (other, filled) = unistd::pipe().expect("pipe");
                fill(&filled);
                let count = fcntl::tee(&other, &writer, pipe.len, SpliceFFlags::empty());
                assert_eq!(count, Ok(pipe.len), "tee");
                let mut copy = vec![0; pipe.len];
                File::from(other).read_exact(&mut copy).expect("read");
                assert_eq!(copy, data.there, "what remains after tee");
            }
        }
        reader
    }
}

/// Memory and then a hole in which no later mapping can appear, because it is part of this mapping:
/// the file that is mapped ends before it.
struct Cliff {
    /// The address at which the hole starts.
    end: usize,
    len: usize,
}

impl Cliff {
    fn new(data: &[u8]) -> Self {
        let fd = memfd::memfd_create("cliff", MFdFlags::MFD_CLOEXEC).expect("memfd_create");
        let mut file = File::from(fd);
        file.write_all(data).expect("write");
        let size = NonZeroUsize::new(data.len() + (1 << 20)).expect("not empty");
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // Private, so that processes do not write to the memory of others. It stays mapped forever.
        let flags = MapFlags::MAP_PRIVATE;
        // SAFETY: The kernel chooses an address range that is free.
        let start = unsafe { mman::mmap(None, size, protection, flags, &file, 0) }.expect("mmap");
        Self {
            end: start.as_ptr() as usize + data.len(),
            len: data.len(),
        }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: The memory stays mapped. The callers drop the reference before the next write.
        unsafe { std::slice::from_raw_parts((self.end - self.len) as *const u8, self.len) }
    }

    fn fill(&self, byte: u8) {
        // SAFETY: The memory stays mapped, and no reference to it exists.
        unsafe { ((self.end - self.len) as *mut u8).write_bytes(byte, self.len) };
    }
}
