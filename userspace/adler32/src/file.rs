// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Reading files and summing them on the processor.
//!
//! Parts of a file can be summed by different threads or computers, and their sums combined:
//!
//! ```
//! use adler32::file;
//! use adler32::file::Options;
//! use std::fs::File;
//!
//! let file = File::open("Cargo.toml")?;
//! let head = file::checksum_range(&file, 0..100, Options::default())?;
//! let tail = file::checksum_range(&file, 100..u64::MAX, Options::default())?;
//! assert_eq!(head.combine(tail), file::checksum(&file, Options::default())?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod buffer;
mod cachestat;
pub(crate) mod sessions;
pub(crate) mod source;

use std::fs::File;
use std::io;
use std::io::Seek;
use std::io::SeekFrom;
use std::num::NonZero;
use std::ops::Range;
use std::os::fd::AsFd;

use rustix::fs::FileType;

use self::buffer::Buffer;
use self::sessions::Sessions;
use self::source::Part;
use self::source::Source;
use crate::error::Error;
use crate::hasher::Hasher;
use crate::sum::Sum;
use crate::threads;

/// The size in bytes from which a file is read by more than one thread.
///
/// On a smaller file, starting threads takes as long as they save. On two cores of a virtual
/// machine with a processor of the Zen 4 family, processes with two threads were 0.8 to 0.9 times
/// as fast as processes with one on 4 MiB of the page cache, 0.9 to 1.2 times on 8 MiB, 1.2 to 1.4
/// times on 16 and 32 MiB, and 1.4 to 1.6 times on 64 MiB.
pub const PARALLEL_FROM: u64 = 16 * 1024 * 1024;

/// How many bytes a thread takes at once, except where it reads directly. In the page cache, 1 to
/// 64 MiB were equally fast. From a disk, 4 MiB were faster than 16 MiB, because the kernel reads
/// ahead at one place.
const STEP: u64 = 4 * 1024 * 1024;

/// How many bytes a thread takes at once for the device. Each part costs a few calls.
pub(crate) const DEVICE_STEP: u64 = 16 * 1024 * 1024;

/// How many threads read a very long file directly, unless the caller chooses the number, or there
/// are more processors. They wait for the disk most of the time. [`Source`] contains the rates.
const DIRECT_READS: u64 = 16;

/// How many bytes are read at a time: [`PIECE`] bytes at first, and [`LONG_PIECE`] bytes after
/// [`LONG`] bytes have been read into the buffer. Each page of a new buffer costs a page fault,
/// which a short file does not pay back. The threads that share a long file, and direct reads, use
/// pieces of [`LONG_PIECE`] bytes from the beginning.
///
/// On the same virtual machine, best of 5 rounds, GB/s from the page cache:
///
/// | | tmpfs: read | and summed | ext4: read | and summed |
/// |---|---|---|---|---|
/// | 128 KiB | 8.2 | 7.6 | 9.8 | 9.0 |
/// | 256 KiB | 8.3 | 7.8 | 10.3 | 9.2 |
/// | 512 KiB | 8.9 | 7.9 | 11.4 | 9.8 |
/// | 1 MiB | 9.2 | 8.2 | 13.0 | 10.9 |
/// | 2 MiB | 9.2 | 8.5 | 12.6 | 11.2 |
///
/// Files are not mapped. If a mapped file is cut short or has a bad sector, SIGBUS ends the
/// program, where a read reports an error. A mapping was not faster either: compared with reading 1
/// MiB at a time, it ran at 0.9 times the speed on tmpfs, and at 1.1 times on ext4, with small
/// folios and with large ones. Summing the end of a piece first, because it is still in the fastest
/// cache, gained nothing.
const PIECE: usize = 128 * 1024;
const LONG_PIECE: usize = 2 * 1024 * 1024;
const LONG: u64 = 8 * 1024 * 1024;

/// The address of the buffer is a multiple of this number.
const PAGE: usize = 4096;

/// How to read a file.
///
/// ```
/// use adler32::file;
/// use adler32::file::Options;
/// use std::fs::File;
/// use std::num::NonZero;
/// use std::sync::atomic::AtomicU64;
/// use std::sync::atomic::Ordering;
///
/// let counter = AtomicU64::new(0);
/// let count = |_way, bytes| {
///     counter.fetch_add(bytes, Ordering::Relaxed);
/// };
/// let options = Options {
///     threads: NonZero::new(2),
///     progress: Some(&count),
///     ..Options::default()
/// };
/// let sum = file::checksum(File::open("Cargo.toml")?, options)?;
/// assert_eq!(counter.into_inner(), sum.length);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// How many threads may read a long file. `None` stands for the number of processors, and for
    /// more where threads wait for a disk. One thread reads all of a file through the page cache,
    /// unless `direct` is set.
    pub threads: Option<NonZero<usize>>,
    /// Called with the number of bytes, and the way they came, whenever a thread has summed a piece
    /// of the file.
    pub progress: Option<&'a (dyn Fn(Way, u64) + Sync)>,
    /// Whether to read regular files and block devices from the disk (`O_DIRECT`) also where their
    /// bytes are in the page cache, and to leave the page cache as it was. It is an error if the
    /// file system does not support such reads.
    pub direct: bool,
    /// Whether the device `/dev/adler32` may sum the bytes of a long file, where it can be used and
    /// is faster than the processor of this process. If the device fails, this process sums the
    /// bytes.
    pub device: bool,
}

impl Options<'_> {
    /// Reports that bytes were summed.
    pub(crate) fn report(&self, way: Way, bytes: u64) {
        if let Some(progress) = self.progress {
            progress(way, bytes);
        }
    }
}

/// How bytes of a file came into the checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One thread read them in order, and it is not known where they were: a pipe, or a file on a
    /// file system that does not tell.
    Read,
    /// They were read from the page cache. Several threads may do that at the same time.
    Cache,
    /// They were not in the page cache. One thread at a time read them in order through it, and the
    /// kernel read ahead.
    Disk,
    /// They were read from the disk, past the page cache: because of [`Options::direct`], or
    /// because they were not in the page cache and this is faster.
    Direct,
    /// They are zeros of a hole, which were not read.
    Hole,
    /// The kernel sent them to the backend, without a copy in this process.
    Sent,
}

impl Way {
    /// All ways.
    pub const ALL: [Self; 6] = [
        Self::Read,
        Self::Cache,
        Self::Disk,
        Self::Direct,
        Self::Hole,
        Self::Sent,
    ];

    /// Returns the name that users read.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Cache => "cache",
            Self::Disk => "disk",
            Self::Direct => "direct",
            Self::Hole => "hole",
            Self::Sent => "sent",
        }
    }
}

/// Reads `file` from its position to its end and returns the checksum.
///
/// The calling thread and the others read parts of a long file at the same time. The calling thread
/// alone reads a file that has no positions, such as a pipe.
///
/// Afterward, the position is at the end of the file, also for all duplicates of the descriptor. If
/// others change the file at the same time, the sum covers the bytes that were found, without a
/// gap.
///
/// [`Error::Read`] is the only error.
pub fn checksum(file: impl AsFd, options: Options<'_>) -> Result<Sum, Error> {
    let file = file.as_fd();
    let stat = rustix::fs::fstat(file).map_err(|errno| Error::Read(errno.into()))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let has_positions = kind.is_file() || kind.is_block_device();
    let is_long = kind.is_file() && stat.st_size as u64 >= PARALLEL_FROM;
    let mut sum = Sum::EMPTY;
    if is_long || options.direct && has_positions {
        let source = Source::new(file, options.direct).map_err(Error::Read)?;
        let mut file = File::from(file.try_clone_to_owned().map_err(Error::Read)?);
        let start = file.stream_position().map_err(Error::Read)?;
        let size = source.size().map_err(Error::Read)?;
        let end = match options.direct {
            true => u64::MAX,
            false => size,
        };
        sum = sum_parts(source, start..end, size, options)?;
        file.seek(SeekFrom::Start(start + sum.length))
            .map_err(Error::Read)?;
        if options.direct {
            return Ok(sum);
        }
    }
    // This read also finds bytes that were appended in the meantime.
    continue_sum(sum, options, |buffer| match has_positions {
        true => source::read_next(file, buffer),
        false => Ok((Way::Read, 0..rustix::io::read(file, buffer)?)),
    })
}

/// Returns the checksum of the bytes of `file` from `range.start` to `range.end` or to the end of
/// the file.
///
/// Several threads read a long range, as in [`checksum()`]. The length of the sum is the number of
/// bytes that were found; `u64::MAX` is an end that no file reaches. The position of the file is
/// neither used nor changed. A file that has no positions, such as a pipe, is an error.
///
/// [`Error::Read`] is the only error.
pub fn checksum_range(
    file: impl AsFd,
    range: Range<u64>,
    options: Options<'_>,
) -> Result<Sum, Error> {
    let source = Source::new(file.as_fd(), options.direct).map_err(Error::Read)?;
    let size = source.size().map_err(Error::Read)?;
    sum_parts(source, range, size, options)
}

/// Bytes that were read: how they came, and where they are in the buffer.
pub(crate) type Found = (Way, Range<usize>);

/// Calls `read` until it finds no bytes, and passes each piece to `take`. Returns the number of
/// bytes.
pub(crate) fn read_all(
    options: Options<'_>,
    mut read: impl FnMut(&mut [u8]) -> io::Result<Found>,
    mut take: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<u64, Error> {
    // The buffer is taken, not borrowed, because the caller's `read` may call this function again.
    let mut buffer = Buffer::take();
    let mut length = 0;
    let done = loop {
        let piece = buffer.piece(options.direct);
        match read(piece) {
            Ok((_, found)) if found.is_empty() => break Ok(length),
            Ok((way, found)) => {
                let len = found.len() as u64;
                if let Err(error) = take(&piece[found]) {
                    break Err(error);
                }
                length += len;
                buffer.seen += len;
                options.report(way, len);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(Error::Read(error)),
        }
    };
    buffer.keep();
    done
}

/// Sums a range of a file of this size. Several threads sum it if it is long.
fn sum_parts(
    mut source: Source,
    range: Range<u64>,
    size: u64,
    options: Options<'_>,
) -> Result<Sum, Error> {
    let known = range.start..range.end.min(size);
    let mut sum = Sum::EMPTY;
    if is_long(&known) {
        if options.threads != Some(NonZero::<usize>::MIN) {
            source.bypass_page_cache();
        }
        let sessions = match options.device && !source.is_always_direct() {
            true => Sessions::open().ok(),
            false => None,
        };
        let step = match sessions {
            Some(_) => DEVICE_STEP,
            None => STEP,
        };
        sum = sum_long(&source, known, step, options, |range, options| {
            let sent = match &sessions {
                Some(sessions) if !options.direct => {
                    sessions.send_if_faster(&source, range.clone(), options)
                }
                _ => Sum::EMPTY,
            };
            by_one(&source, sent, range, options)
        })?;
    }
    // This also finds bytes that were appended in the meantime.
    by_one(&source, sum, range, options)
}

/// Returns whether a range is worth several threads.
pub(crate) fn is_long(range: &Range<u64>) -> bool {
    range.end.saturating_sub(range.start) >= PARALLEL_FROM
}

/// Sums a long range of a file. Several threads call `sum` for parts of at most `step` bytes. The
/// options tell it whether to read the part past the page cache.
pub(crate) fn sum_long(
    source: &Source,
    range: Range<u64>,
    step: u64,
    options: Options<'_>,
    sum: impl Fn(Range<u64>, Options<'_>) -> Result<Sum, Error> + Sync,
) -> Result<Sum, Error> {
    let start = range.start;
    source.advise_sequential();
    let threads = match options.threads {
        None if source.has_direct_parts(&range) => threads::number(None).max(DIRECT_READS),
        wanted => threads::number(wanted),
    };
    let threads = threads.min((range.end - start) / (PARALLEL_FROM / 2));
    let is_cold = |part: &Part| match part {
        Part::Data(range) => source.is_cold(range.start),
        Part::Direct(_) | Part::Hole(_) => false,
    };
    let parts = source.parts(range, step);
    // A thread that has no memory to read into leaves the work to the others.
    threads::sum(start, parts, threads, Buffer::reserve, is_cold, |part| {
        let (range, direct) = match part {
            Part::Data(range) => (range, false),
            Part::Direct(range) => (range, true),
            Part::Hole(range) => {
                let length = range.end - range.start;
                options.report(Way::Hole, length);
                return Ok((range.start, Sum::zeros(length)));
            }
        };
        let options = Options { direct, ..options };
        Ok((range.start, sum(range, options)?))
    })
}

/// Appends to `sum`, which covers the first bytes of a range, the rest of the range.
fn by_one(
    source: &Source,
    sum: Sum,
    range: Range<u64>,
    options: Options<'_>,
) -> Result<Sum, Error> {
    let mut at = range.start + sum.length;
    continue_sum(sum, options, |buffer| {
        let found = source.read(buffer, at..range.end, options.direct)?;
        at += found.1.len() as u64;
        Ok(found)
    })
}

fn continue_sum(
    sum: Sum,
    options: Options<'_>,
    read: impl FnMut(&mut [u8]) -> io::Result<Found>,
) -> Result<Sum, Error> {
    let mut hasher = Hasher::resume(sum);
    read_all(options, read, |piece| {
        hasher.update(piece);
        Ok(())
    })?;
    Ok(hasher.sum())
}
