// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The memory, the file and the pipes that the data come from, and where what is read goes.

use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;

use nix::fcntl;
use nix::fcntl::SpliceFFlags;
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
use adler32_tests::memory::Map;
use adler32_tests::memory::PAGE;
use adler32_tests::reference;

/// The same data in several places.
pub struct Arena {
    data: Vec<u8>,
    inherited: Map,
    own: Map,
    edge: Cliff,
    /// Where results go.
    sink: Cliff,
    pub file: File,
    pub equal: Map,
}

/// What the whole of [`Arena::equal`] consists of.
pub const EQUAL: u8 = 0xe5;

/// What certainly ends below the kernel's addresses is not longer.
const FARTHEST: usize = 1 << 31;

/// Data that may end before what is asked for does.
pub struct Data<'a> {
    pub address: usize,
    pub len: usize,
    /// Those that are there.
    pub there: &'a [u8],
    /// The kernel may see by the numbers alone that no process has all of it.
    pub foreign: bool,
}

impl Data<'_> {
    pub fn is_whole(&self) -> bool {
        self.there.len() == self.len
    }
}

/// Where something is to be put.
pub struct Target {
    pub address: usize,
    pub len: usize,
    /// For how many of the bytes there is memory.
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
            sink: Cliff::new(&[0; PAGE]),
            equal: filled(&vec![EQUAL; MEMORY]),
            file,
            data,
        }
    }

    /// Makes the memory that is to be this process's alone just that, after a fork.
    pub fn take(&self) {
        for map in [&self.own, &self.equal] {
            for offset in (0..map.size()).step_by(PAGE) {
                let byte = (map.address() + offset) as *mut u8;
                // SAFETY: The memory is there, and nobody has a reference to it.
                unsafe { byte.write_volatile(byte.read_volatile()) };
            }
        }
    }

    pub fn content(&self) -> &[u8] {
        &self.data
    }

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

    /// Clears where something is to be put.
    pub fn target(&self, room: Room) -> Target {
        self.sink.fill(0xee);
        match room {
            Room::There { len } => Target {
                address: self.sink.end - PAGE,
                len,
                there: len,
                foreign: false,
            },
            Room::Edge { there, len } => Target {
                address: self.sink.end - there,
                len,
                there: there.min(len),
                foreign: false,
            },
            Room::Foreign { address, len } => Target {
                address: address as usize,
                len,
                there: 0,
                foreign: true,
            },
        }
    }

    /// Fails unless the target has `bytes` and is otherwise as it was.
    pub fn check_target(&self, target: &Target, bytes: &[u8]) {
        let memory = self.sink.bytes();
        let start = target.address - (self.sink.end - PAGE);
        let (before, rest) = memory.split_at(start);
        let (put, after) = rest.split_at(bytes.len());
        assert_eq!(put, bytes, "what was put");
        let untouched = before.iter().chain(after).all(|&byte| byte == 0xee);
        assert!(untouched, "more was written than that");
    }

    /// Puts a structure where an ioctl is to find it, as far as it fits. Returns its address and
    /// whether all of it is there.
    pub fn argument<T: Copy>(&self, place: Place, value: T) -> (usize, bool) {
        let size = size_of::<T>();
        let (address, there) = match place {
            Place::There => (self.sink.end - PAGE, size),
            Place::Edge { there } => (self.sink.end - there, there.min(size)),
            Place::Foreign { address } => (address as usize, 0),
        };
        if there > 0 {
            // SAFETY: So many bytes are there, in the sink, which nobody has a reference to.
            unsafe {
                (&raw const value)
                    .cast::<u8>()
                    .copy_to(address as *mut u8, there)
            };
        }
        (address, there == size)
    }

    /// Takes a structure, of which any bytes are a value, from where [`Self::argument`] has put it
    /// as a whole.
    pub fn result<T: Copy>(&self, address: usize) -> T {
        // SAFETY: The bytes are there, in the sink.
        unsafe { (address as *const T).read_unaligned() }
    }

    /// Returns the reading end of a pipe with content, and with nobody to write more.
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
                // SAFETY: The memory stays there, and is not written to.
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

/// Memory and then a hole, in which nothing else can come to lie: a mapping beyond the end of its
/// file.
struct Cliff {
    /// Where the hole begins.
    end: usize,
    len: usize,
}

impl Cliff {
    fn new(data: &[u8]) -> Self {
        // SAFETY: The name is a C string.
        let fd = unsafe { libc::memfd_create(c"cliff".as_ptr(), libc::MFD_CLOEXEC) };
        assert!(fd >= 0, "memfd_create");
        // SAFETY: The descriptor was just opened.
        let mut file = unsafe { File::from_raw_fd(fd) };
        file.write_all(data).expect("write");
        let size = NonZeroUsize::new(data.len() + (1 << 20)).expect("not empty");
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // Private, so that processes do not write to each other's; never unmapped.
        let flags = MapFlags::MAP_PRIVATE;
        // SAFETY: The kernel chooses an address range that is free.
        let start = unsafe { mman::mmap(None, size, protection, flags, &file, 0) }.expect("mmap");
        Self {
            end: start.as_ptr() as usize + data.len(),
            len: data.len(),
        }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: The memory stays there, and nobody writes to it while a reference is about.
        unsafe { std::slice::from_raw_parts((self.end - self.len) as *const u8, self.len) }
    }

    fn fill(&self, byte: u8) {
        // SAFETY: The memory is there, and nobody has a reference to it.
        unsafe { ((self.end - self.len) as *mut u8).write_bytes(byte, self.len) };
    }
}
