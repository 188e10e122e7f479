// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Where the bytes of a file are: in the page cache, on a disk, or in a hole.

use std::fs;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use rustix::fs::Advice;
use rustix::fs::OFlags;
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use rustix::io::ReadWriteFlags;

use super::Found;
use super::Way;
use super::PAGE;

/// Data and holes that are shorter than this number of bytes are read together. Looking for each
/// page of data would take longer than reading the zeros between them.
const SHORT: u64 = 256 * 1024;

/// How many bytes are read without looking for holes if the data and the holes are short.
const SHREDDED: u64 = 4 * 1024 * 1024;

/// For how many bytes a file counts as not cached after a read had to wait for the disk. The read
/// that finds the next bytes in the page cache may find what the kernel has read ahead.
const COLD: u64 = 64 * 1024 * 1024;

/// A read of fewer bytes per microsecond waited for a disk. This counts only where reads cannot
/// fail instead of waiting.
const RATE: u128 = 2000;

/// The type of a file system that keeps its files in memory.
const TMPFS: rustix::fs::FsWord = 0x0102_1994;

/// An open file, read at offsets.
///
/// Bytes in the page cache may be read by several threads at the same time. Bytes on a disk must be
/// read by one thread, in order: the kernel then reads ahead, and keeps the disk busy. Several
/// threads that read at several places break its read-ahead.
///
/// These rates were measured for a file of 512 MiB that was not in the page cache, on a virtual
/// disk, with a program that was not kept. They are the median and the quartiles of 14 rounds in
/// turns, in GB/s. The second column is for a loop device on this disk that reads ahead 128 KiB.
///
/// | | reads ahead 8 MiB | reads ahead 128 KiB |
/// |---|---|---|
/// | one thread in order, 2 MiB at a time | 1.95 (1.07 to 2.20) | 2.08 (1.98 to 2.19) |
/// | the same after `POSIX_FADV_SEQUENTIAL` | 2.20 (1.01 to 2.27) | 2.08 (1.88 to 2.18) |
/// | two threads in turns, in order | 2.12 (1.11 to 2.21) | 2.03 (1.98 to 2.07) |
/// | in order, `readahead()` of 16 MiB by hand | 1.49 (1.39 to 1.69) | 1.33 (1.23 to 1.48) |
/// | direct, 4 threads with 4 MiB each | 1.31 (1.23 to 1.46) | 1.36 (1.24 to 1.46) |
/// | direct, `io_uring` with 16 times 1 MiB | 1.18 (1.10 to 1.28) | 1.48 (1.10 to 1.86) |
/// | direct, `io_uring` with 8 times 1 MiB | 2.01 (1.35 to 2.07) | |
/// | `io_uring` with 8 times 1 MiB | 1.64 (0.67 to 1.96) | 1.23 (1.19 to 1.29) |
///
/// `make bench-cli` measures the first row and direct reads, as `adler32 sum --direct`, which is
/// faster since it reads into huge pages (see `long_piece`): 2.29 GB/s where the default reached
/// 1.40 (medians of 15 rounds in turns, 2 GiB). It is no default, because it leaves nothing in the
/// page cache, so that the next reader would wait for the disk again.
///
/// The disk has two speeds, about 1.5 and 2.4 GB/s, and decides what a comparison shows. In 25
/// rounds with a file of 2 GiB, six contenders that were all `adler32 sum` had medians from 1.77 to
/// 2.32 GB/s. Their 150 passes together had a median of 2.01 and a best of 2.62 GB/s, one thread
/// 2.15 and 2.62, reading alone 2.12 and 2.54, and `dd` 1.79 and 2.45. Of the second that a pass
/// takes, summing takes 0.02 to 0.05, and the threads wait for each other 250 times at most. A
/// thread that only reads, or longer steps, would gain no more than that, and were not tried.
pub struct Source {
    file: File,
    /// The same file with a position of its own, to look for holes. It is `None` if the file has no
    /// holes, or if it cannot be opened again.
    holes: Option<File>,
    /// Whether reads bypass the page cache.
    direct: bool,
    /// Whether the file is in memory only.
    memory: bool,
    /// Whether a read can fail instead of waiting for the disk.
    nowait: AtomicBool,
    /// The offset up to which the file counts as not cached.
    cold_until: AtomicU64,
}

/// A part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Bytes that must be read.
    Data(Range<u64>),
    /// Zeros that need not be read.
    Hole(Range<u64>),
}

impl Source {
    /// Prepares to read the file. Bytes come from the disk and do not enter the page cache if
    /// `direct` is set and the file is a regular file or a block device.
    pub fn new(file: BorrowedFd<'_>, direct: bool) -> io::Result<Self> {
        let file = File::from(file.try_clone_to_owned()?);
        let metadata = file.metadata()?;
        let kind = rustix::fs::FileType::from_raw_mode(metadata.mode());
        let direct = direct && (kind.is_file() || kind.is_block_device());
        let again = |flags| {
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            fs::OpenOptions::new()
                .read(true)
                .custom_flags(flags)
                .open(path)
        };
        // A file without holes has at least as many blocks, except where the file system
        // compresses it.
        let sparse = kind.is_file() && metadata.blocks().saturating_mul(512) < metadata.len();
        Ok(Self {
            holes: sparse.then(|| again(0).ok()).flatten(),
            memory: rustix::fs::fstatfs(&file).is_ok_and(|fs| fs.f_type == TMPFS),
            file: match direct {
                true => again(OFlags::DIRECT.bits() as i32).map_err(no_direct)?,
                false => file,
            },
            direct,
            nowait: AtomicBool::new(true),
            cold_until: AtomicU64::new(0),
        })
    }

    /// Returns the file.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Returns whether reads bypass the page cache.
    pub fn is_direct(&self) -> bool {
        self.direct
    }

    /// Returns the size of a regular file, or else 0.
    pub fn size(&self) -> io::Result<u64> {
        let metadata = self.file.metadata()?;
        Ok(match metadata.is_file() {
            true => metadata.len(),
            false => 0,
        })
    }

    /// Returns the parts of a range, in order. Data comes in parts of at most `step` bytes.
    ///
    /// If others change the file, each part is what was there when it was looked up.
    pub fn parts(&self, range: Range<u64>, step: u64) -> Parts<'_> {
        Parts {
            source: self,
            at: range.start,
            known: range.start,
            end: range.end,
            step,
        }
    }

    /// Advises the kernel to read ahead further.
    pub fn advise_sequential(&self) {
        // Some file systems refuse the advice, which does no harm.
        let _ = rustix::fs::fadvise(&self.file, 0, None, Advice::Sequential);
    }

    /// Returns whether the bytes from `at` on must be read by one thread, in order.
    pub fn is_cold(&self, at: u64) -> bool {
        if at >= self.cold_until.load(Relaxed) && self.tells_cached() {
            if let Err(Errno::AGAIN) = self.read_cached(&mut [0], at) {
                self.note_cold(at);
            }
        }
        at < self.cold_until.load(Relaxed)
    }

    /// Returns whether it can be found out, without waiting, if bytes are in the page cache.
    pub fn tells_cached(&self) -> bool {
        !self.direct && self.nowait.load(Relaxed)
    }

    /// Returns whether the file is in memory only.
    pub fn is_memory(&self) -> bool {
        self.memory
    }

    fn note_cold(&self, at: u64) {
        self.cold_until.fetch_max(at + COLD, Relaxed);
    }

    /// Reads bytes of a range into the buffer. No bytes are the end of the file.
    ///
    /// The buffer begins with a page. The length of a buffer for direct reads is a multiple of the
    /// size of a page.
    pub fn read(&self, buffer: &mut [u8], range: Range<u64>) -> io::Result<Found> {
        let left = range.end.saturating_sub(range.start);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok((Way::Read, 0..0));
        }
        if self.direct {
            // File systems want an offset and a length that are multiples of their block size.
            let skip = range.start as usize % PAGE;
            let end = left.saturating_add(skip).min(buffer.len());
            let read = self.file.read_at(
                &mut buffer[..end.next_multiple_of(PAGE)],
                range.start - skip as u64,
            )?;
            return Ok((Way::Direct, skip.min(read)..end.min(read)));
        }
        let len = buffer.len().min(left);
        let buffer = &mut buffer[..len];
        let found = |read| match range.start < self.cold_until.load(Relaxed) {
            true => (Way::Disk, 0..read),
            false => (Way::Cache, 0..read),
        };
        if self.nowait.load(Relaxed) {
            match self.read_cached(buffer, range.start) {
                Ok(read) => return Ok(found(read)),
                Err(Errno::INTR) => return Err(Errno::INTR.into()),
                Err(Errno::AGAIN) => self.note_cold(range.start),
                // The kernel, the file system or a policy does not allow such reads.
                Err(_) => self.nowait.store(false, Relaxed),
            }
        }
        let start = Instant::now();
        let read = self.file.read_at(buffer, range.start)?;
        // Copies from the page cache are faster than this rate, and most disks are slower.
        if !self.memory && start.elapsed().as_nanos() > read as u128 * 1000 / RATE {
            self.note_cold(range.start);
        }
        Ok(found(read))
    }

    /// Reads bytes that are in the page cache, up to the first one that is not.
    fn read_cached(&self, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
        let mut buffers = [io::IoSliceMut::new(buffer)];
        rustix::io::preadv2(&self.file, &mut buffers, at, ReadWriteFlags::NOWAIT)
    }
}

/// The parts of a range of a file.
pub struct Parts<'a> {
    source: &'a Source,
    at: u64,
    /// Where the data that begins at `at` ends.
    known: u64,
    end: u64,
    step: u64,
}

impl Iterator for Parts<'_> {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        if self.at >= self.end {
            return None;
        }
        let start = self.at;
        if self.known <= start {
            match &self.source.holes {
                Some(file) => {
                    self.at = data_from(file, start).min(self.end);
                    if self.at > start {
                        return Some(Part::Hole(start..self.at));
                    }
                    self.known = data_until(file, start).min(self.end);
                }
                None => self.known = self.end,
            }
        }
        self.at = self.known.min(start.saturating_add(self.step));
        Some(Part::Data(start..self.at))
    }
}

/// Reads the next bytes of a file with positions, and finds out how they come.
pub fn read_next(file: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Found> {
    // This offset stands for the position of the file.
    const POSITION: u64 = u64::MAX;
    let mut buffers = [io::IoSliceMut::new(buffer)];
    let way = match rustix::io::preadv2(file, &mut buffers, POSITION, ReadWriteFlags::NOWAIT) {
        Ok(read) => return Ok((Way::Cache, 0..read)),
        Err(Errno::INTR) => return Err(Errno::INTR.into()),
        Err(Errno::AGAIN) => Way::Disk,
        // The kernel, the file system or a policy does not allow such reads.
        Err(_) => Way::Read,
    };
    Ok((way, 0..rustix::io::read(file, buffer)?))
}

/// Returns where the next data begins, at `at` or after it. That is the end of the file if there is
/// no more data.
fn data_from(file: &File, at: u64) -> u64 {
    match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(data) => data,
        Err(Errno::NXIO) => file
            .metadata()
            .map_or(at, |metadata| metadata.len())
            .max(at),
        Err(_) => at,
    }
}

/// Returns where the data that begins at `at` ends.
fn data_until(file: &File, at: u64) -> u64 {
    match rustix::fs::seek(file, SeekFrom::Hole(at)) {
        Ok(hole) if hole >= at + SHORT => hole,
        Ok(hole) if hole > at && data_from(file, hole) >= hole + SHORT => hole,
        Ok(_) => at + SHREDDED,
        Err(_) => u64::MAX,
    }
}

/// Explains why a file cannot be opened for direct reads.
fn no_direct(error: io::Error) -> io::Error {
    match error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) {
        true => io::Error::other("the file system has no reads that bypass the page cache"),
        false => error,
    }
}
