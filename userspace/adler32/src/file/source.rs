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
use rustix::fs::AtFlags;
use rustix::fs::OFlags;
use rustix::fs::SeekFrom;
use rustix::fs::StatxFlags;
use rustix::io::Errno;
use rustix::io::ReadWriteFlags;

use super::cachestat::cached;
use super::Found;
use super::Way;
use super::LONG_PIECE;
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

/// Bytes of which at most one in so many is in the page cache are read past it. A disk then has to
/// read little more than if these bytes were taken from the page cache.
const FEW: u64 = 16;

/// The beginning of a file is read directly as a whole if at most one in so many of its bytes is in
/// the page cache. Programs that look at the beginning leave it there. If it were read from there,
/// the kernel would read the rest of the file ahead into the page cache.
const FEW_OF_HEAD: u64 = 4;
const HEAD: u64 = 8 * 1024 * 1024;

/// At how many places of a file a look at the page cache decides how many threads read.
const SAMPLES: u64 = 8;

/// The type of a file system that keeps its files in memory.
const TMPFS: rustix::fs::FsWord = 0x0102_1994;

/// An open file, read at offsets.
///
/// Bytes in the page cache are read by several threads at the same time. Bytes on a disk are read
/// past it, if possible, by enough threads to keep the disk busy. Otherwise, one thread must read
/// them in order: the kernel then reads ahead, and keeps the disk busy. Several threads that read
/// at several places break its read-ahead.
///
/// These rates were measured for files that were not in the page cache, on a virtual disk whose own
/// speed varies between 1.5 and 2.5 GB/s. There were 15 rounds, with the programs in turns. In
/// GB/s:
///
/// | direct reads of 2 MiB into huge pages | median | best |
/// |---|---|---|
/// | `adler32 sum`, 8 threads | 2.04 | 2.47 |
/// | `adler32 sum`, 16 threads | 2.28 | 2.43 |
/// | reading alone, 8 threads | 2.33 | 2.54 |
/// | reading alone, 16 threads | 2.39 | 2.51 |
///
/// `make bench-cli` measures the second and the last of these, and one thread that reads in order.
/// The other ways were compared earlier, with a program that was not kept, and with buffers of
/// small pages, for which the kernel makes shorter requests to the disk (see `long_piece`). These
/// are the median and the quartiles of 14 rounds. The second column is for a loop device on this
/// disk:
///
/// | | reads ahead 8 MiB | reads ahead 128 KiB |
/// |---|---|---|
/// | one thread in order, 2 MiB at a time | 1.95 (1.07 to 2.20) | 2.08 (1.98 to 2.19) |
/// | two threads in turns, in order | 2.12 (1.11 to 2.21) | 2.03 (1.98 to 2.07) |
/// | in order, `readahead()` of 16 MiB by hand | 1.49 (1.39 to 1.69) | 1.33 (1.23 to 1.48) |
/// | direct, 4 threads with 4 MiB each | 1.31 (1.23 to 1.46) | 1.36 (1.24 to 1.46) |
/// | direct, `io_uring` with 16 times 1 MiB | 1.18 (1.10 to 1.28) | 1.48 (1.10 to 1.86) |
/// | direct, `io_uring` with 8 times 1 MiB | 2.01 (1.35 to 2.07) | |
/// | `io_uring` with 8 times 1 MiB | 1.64 (0.67 to 1.96) | 1.23 (1.19 to 1.29) |
pub struct Source {
    file: File,
    /// The same file with a position of its own, to look for holes. It is `None` if the file has no
    /// holes, or if it cannot be opened again.
    holes: Option<File>,
    /// The same file, opened for reads that bypass the page cache.
    direct: Option<File>,
    /// Whether all reads bypass the page cache.
    always_direct: bool,
    /// Whether reads of bytes that are not in the page cache bypass it.
    bypass: AtomicBool,
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
    /// Bytes that must be read, past the page cache.
    Direct(Range<u64>),
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
        let always_direct = direct && (kind.is_file() || kind.is_block_device());
        // A file without holes has at least as many blocks, except where the file system
        // compresses it.
        let sparse = kind.is_file() && metadata.blocks().saturating_mul(512) < metadata.len();
        Ok(Self {
            holes: sparse.then(|| again(&file, OFlags::empty()).ok()).flatten(),
            direct: always_direct
                .then(|| again(&file, OFlags::DIRECT).map_err(no_direct))
                .transpose()?,
            always_direct,
            bypass: AtomicBool::new(false),
            memory: rustix::fs::fstatfs(&file).is_ok_and(|fs| fs.f_type == TMPFS),
            nowait: AtomicBool::new(true),
            cold_until: AtomicU64::new(0),
            file,
        })
    }

    /// Has reads of bytes that are not in the page cache bypass it, if the kernel reports which
    /// bytes these are, and the file system can read them so.
    pub fn bypass_page_cache(&mut self) {
        if !self.always_direct && !self.memory && self.can_bypass().unwrap_or(false) {
            self.direct = again(&self.file, OFlags::DIRECT).ok();
            *self.bypass.get_mut() = self.direct.is_some();
        }
    }

    fn can_bypass(&self) -> io::Result<bool> {
        // Some file systems open files for direct reads and then read them through the page cache:
        // ext4 with data=journal, and Btrfs. These do not report an alignment.
        let statx = rustix::fs::statx(&self.file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN)?;
        if !(1..=PAGE as u32).contains(&statx.stx_dio_offset_align) {
            return Ok(false);
        }
        cached(self.file.as_fd(), &(0..1))?;
        // File systems without `RWF_NOWAIT` are left out. On overlayfs, the kernel looks for the
        // pages in the wrong file. File systems of a network or of a program (FUSE) may be slow if
        // they are not read in order. At the end of the file, nothing is read.
        match read_cached(&self.file, &mut [0], self.size()?) {
            Ok(_) | Err(Errno::AGAIN) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the file.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Returns whether all reads bypass the page cache.
    pub fn is_always_direct(&self) -> bool {
        self.always_direct
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
            if let Err(Errno::AGAIN) = read_cached(&self.file, &mut [0], at) {
                self.note_cold(at);
            }
        }
        at < self.cold_until.load(Relaxed)
    }

    /// Returns whether it can be found out, without waiting, if bytes are in the page cache.
    pub fn tells_cached(&self) -> bool {
        !self.always_direct && self.nowait.load(Relaxed)
    }

    /// Returns whether the file is in memory only.
    pub fn is_memory(&self) -> bool {
        self.memory
    }

    /// Returns whether reads of some bytes of a long range bypass the page cache.
    pub fn has_direct_parts(&self, range: &Range<u64>) -> bool {
        let step = (range.end - range.start) / SAMPLES;
        (0..SAMPLES).any(|number| {
            let at = range.start + number * step;
            self.is_direct_at(&(at..at + step.min(LONG_PIECE as u64)))
        })
    }

    /// Returns whether reads of a range bypass the page cache. They do if hardly any of its bytes
    /// is in it.
    fn is_direct_at(&self, range: &Range<u64>) -> bool {
        self.always_direct
            || self.bypass.load(Relaxed)
                && (self.is_cached_below(FEW, range)
                    || range.end <= HEAD && self.is_cached_below(FEW_OF_HEAD, &(0..HEAD)))
    }

    /// Returns whether at most one in so many bytes of a range is in the page cache.
    fn is_cached_below(&self, few: u64, range: &Range<u64>) -> bool {
        cached(self.file.as_fd(), range).is_ok_and(|bytes| bytes * few <= range.end - range.start)
    }

    fn note_cold(&self, at: u64) {
        self.cold_until.fetch_max(at + COLD, Relaxed);
    }

    /// Reads bytes of a range into the buffer, past the page cache if `direct` is set. No bytes are
    /// the end of the file.
    ///
    /// The buffer begins with a page. The length of a buffer for direct reads is a multiple of the
    /// size of a page.
    pub fn read(&self, buffer: &mut [u8], range: Range<u64>, direct: bool) -> io::Result<Found> {
        let left = range.end.saturating_sub(range.start);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok((Way::Read, 0..0));
        }
        if let Some(file) = self.direct.as_ref().filter(|_| direct) {
            // File systems want an offset and a length that are multiples of their block size.
            let skip = range.start as usize % PAGE;
            let end = left.saturating_add(skip).min(buffer.len());
            let aligned = &mut buffer[..end.next_multiple_of(PAGE)];
            match file.read_at(aligned, range.start - skip as u64) {
                Ok(read) => return Ok((Way::Direct, skip.min(read)..end.min(read))),
                Err(error) if self.always_direct => return Err(error),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
                // Reading through the page cache may work. If the disk is bad, it does not.
                Err(_) => self.bypass.store(false, Relaxed),
            }
        }
        let len = buffer.len().min(left);
        let buffer = &mut buffer[..len];
        let found = |read| match range.start < self.cold_until.load(Relaxed) {
            true => (Way::Disk, 0..read),
            false => (Way::Cache, 0..read),
        };
        if self.nowait.load(Relaxed) {
            match read_cached(&self.file, buffer, range.start) {
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
}

/// Reads bytes that are in the page cache, up to the first one that is not.
fn read_cached(file: impl AsFd, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
    let mut buffers = [io::IoSliceMut::new(buffer)];
    rustix::io::preadv2(file, &mut buffers, at, ReadWriteFlags::NOWAIT)
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
        // The end of the piece that begins at `at`, which is a multiple of `step`.
        let next = |at: u64, step: u64| self.known.min((at / step + 1).saturating_mul(step));
        let piece = |at| at..next(at, LONG_PIECE as u64);
        if self.source.is_direct_at(&piece(start)) {
            self.at = piece(start).end;
            return Some(Part::Direct(start..self.at));
        }
        self.at = next(start, self.step);
        if self.source.bypass.load(Relaxed) {
            let mut at = piece(start).end;
            while at < self.at && !self.source.is_direct_at(&piece(at)) {
                at = piece(at).end;
            }
            self.at = at;
        }
        Some(Part::Data(start..self.at))
    }
}

/// Opens a file again, with a position and flags of its own.
fn again(file: &File, flags: OFlags) -> io::Result<File> {
    fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Reads the next bytes of a file with positions, and finds out how they come.
pub fn read_next(file: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Found> {
    // This offset stands for the position of the file.
    const POSITION: u64 = u64::MAX;
    let way = match read_cached(file, buffer, POSITION) {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Some file systems refuse direct reads only when they are asked for one.
    #[test]
    fn reads_through_the_page_cache_where_direct_reads_fail() {
        let path = std::env::temp_dir().join(format!("adler32-{}", std::process::id()));
        let unreadable = File::create(&path).unwrap();
        fs::write(&path, "abcde").unwrap();
        let file = File::open(&path).unwrap();
        fs::remove_file(&path).unwrap();

        let mut source = Source::new(file.as_fd(), false).unwrap();
        source.direct = Some(unreadable);
        *source.bypass.get_mut() = true;
        let mut buffer = vec![0; 2 * PAGE];
        let (way, found) = source.read(&mut buffer[..PAGE], 1..5, true).unwrap();
        assert_ne!(way, Way::Direct);
        assert_eq!(buffer[found], *b"bcde");
        // No part is read directly from then on, and nothing is looked up in each piece of it.
        let all = source.parts(0..u64::MAX, u64::MAX).next();
        assert_eq!(all, Some(Part::Data(0..u64::MAX)));
    }
}
