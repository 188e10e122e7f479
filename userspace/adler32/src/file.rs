// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How the bytes of a file are read, and summed by the processor.
//!
//! Parts of a file can be summed apart, by threads or by machines, and their sums put together:
//!
//! ```
//! use adler32::file;
//! use std::fs::File;
//!
//! let file = File::open("Cargo.toml")?;
//! let head = file::checksum_range(&file, 0..100, None)?;
//! let tail = file::checksum_range(&file, 100..u64::MAX, None)?;
//! assert_eq!(head.combine(tail), file::checksum(&file, None)?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A thread keeps its buffer for the next file.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::io::Seek;
use std::io::SeekFrom;
use std::num::NonZero;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::panic::resume_unwind;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;

use nix::fcntl;
use nix::fcntl::PosixFadviseAdvice;
use nix::sys::stat;
use nix::sys::stat::SFlag;
use nix::unistd;

use crate::Error;
use crate::Hasher;
use crate::Sum;

/// From how many bytes on a file is read by more than one thread.
///
/// With less, starting them takes as long as what they save: on two cores of a virtual machine with
/// a processor of the Zen 4 family, processes with two threads were 0.8 to 0.9 times as fast as those
/// with one on 4 MiB of the page cache, 0.9 to 1.2 times on 8 MiB, 1.2 to 1.4 on 16 and 32 MiB, and 1.4
/// to 1.6 on 64 MiB.
pub const PARALLEL_FROM: u64 = 16 * 1024 * 1024;

/// How many bytes a thread takes at once. 1 to 64 MiB were equally fast in the page cache. From a
/// disk, 4 MiB were faster than 16 MiB, as the kernel reads ahead of one place.
const RANGE: u64 = 4 * 1024 * 1024;

/// How many bytes are read at a time, when the buffer is new and when it has seen [`LONG`] bytes:
/// the pages of a new one take a fault each, which are to be few beside those of the file.
///
/// On the same machine, best of 5 rounds, GB/s from the page cache:
///
/// | | tmpfs: read | and summed | ext4: read | and summed |
/// |---|---|---|---|---|
/// | 128 KiB | 8.2 | 7.6 | 9.8 | 9.0 |
/// | 256 KiB | 8.3 | 7.8 | 10.3 | 9.2 |
/// | 512 KiB | 8.9 | 7.9 | 11.4 | 9.8 |
/// | 1 MiB | 9.2 | 8.2 | 13.0 | 10.9 |
/// | 2 MiB | 9.2 | 8.5 | 12.6 | 11.2 |
///
/// Files are not mapped: to cut one short while it is mapped ends the program by SIGBUS, and so does
/// a bad sector, which a read reports. Nor was it faster: summing from a mapping went at 0.9 times
/// the speed of reading 1 MiB at a time on tmpfs, and 1.1 times on ext4, with small folios and large
/// ones. To sum the end of a piece first, as what is still in the fastest cache, gained nothing.
const PIECE: usize = 128 * 1024;
const LONG_PIECE: usize = 2 * 1024 * 1024;
const LONG: u64 = 8 * 1024 * 1024;

/// Where the buffer begins is a multiple of this.
const PAGE: usize = 4096;

/// Reads `file` from its position to its end and returns the checksum.
///
/// Up to so many threads, the caller among them, read ranges of a long file; as many as there are
/// processors if nothing is said. What has no ranges, like a pipe, is read by the caller alone.
///
/// As after reading, the position is then at the end, and so it is for all who share it. The
/// checksum of a file that others change meanwhile is that of the bytes which were found, without a
/// gap; the length is their number.
///
/// [`Error::Read`] is the only error.
pub fn checksum(file: impl AsFd, threads: Option<NonZero<usize>>) -> Result<Sum, Error> {
    let file = file.as_fd();
    let mut left = PIECE;
    let mut sum = continue_sum(Sum::EMPTY, |buffer| {
        let read = unistd::read(file, &mut buffer[..left])?;
        left -= read;
        Ok(read)
    })?;
    // Most files end here, and are not even asked for their size.
    if left > 0 {
        return Ok(sum);
    }
    let size = size(file)?;
    if size >= PARALLEL_FROM {
        let mut file = duplicate(file)?;
        let start = file.stream_position().map_err(Error::Read)?;
        let rest = by_threads(&file, start..size, threads)?;
        file.seek(SeekFrom::Start(start + rest.length))
            .map_err(Error::Read)?;
        sum = sum.combine(rest);
    }
    // Also what has been appended meanwhile.
    continue_sum(sum, |buffer| Ok(unistd::read(file, buffer)?))
}

/// Reads the bytes of `file` from `range.start` on, to `range.end` or the end of the file, and
/// returns their checksum, by threads as [`checksum()`] does.
///
/// The length tells how many there were; `u64::MAX` is an end that no file reaches. The position of
/// the file does not matter and stays where it is. A file that has no ranges is an error.
///
/// [`Error::Read`] is the only error.
pub fn checksum_range(
    file: impl AsFd,
    range: Range<u64>,
    threads: Option<NonZero<usize>>,
) -> Result<Sum, Error> {
    let file = duplicate(file.as_fd())?;
    let size = size(file.as_fd())?;
    let sum = by_threads(&file, range.start..range.end.min(size), threads)?;
    by_one(&file, sum, range)
}

/// Returns how many bytes this process has read, or had the kernel send, to have them summed.
pub fn bytes_summed() -> u64 {
    BYTES_SUMMED.load(Ordering::Relaxed)
}

static BYTES_SUMMED: AtomicU64 = AtomicU64::new(0);

/// Counts bytes for [`bytes_summed`].
pub(crate) fn count(bytes: u64) {
    BYTES_SUMMED.fetch_add(bytes, Ordering::Relaxed);
}

/// Reads by `read` until there is nothing more, and hands each piece to `take`. Returns the number
/// of bytes.
pub(crate) fn read_all(
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    mut take: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<u64, Error> {
    thread_local! {
        static BUFFER: Cell<Option<Buffer>> = const { Cell::new(None) };
    }
    // Taken, not borrowed: `read` may be a caller's, who can end up here again.
    let mut buffer = BUFFER.take().unwrap_or_else(Buffer::new);
    let mut length = 0;
    let done = loop {
        let piece = buffer.piece();
        match read(piece) {
            Ok(0) => break Ok(length),
            Ok(len) => {
                if let Err(error) = take(&piece[..len]) {
                    break Err(error);
                }
                length += len as u64;
                buffer.seen += len as u64;
                count(len as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(Error::Read(error)),
        }
    };
    BUFFER.set(Some(buffer));
    done
}

/// Memory to read into.
///
/// It begins with a page, as the kernel's pages do. Memory from `malloc` begins 16 bytes into one, and
/// reading into that, which is `rep movsb` in the kernel, went at 0.4 to 0.75 times the speed.
struct Buffer {
    memory: Vec<u8>,
    /// How many bytes were read into it.
    seen: u64,
}

impl Buffer {
    fn new() -> Self {
        Self {
            memory: vec![0; LONG_PIECE + PAGE - 1],
            seen: 0,
        }
    }

    /// What to read into next.
    fn piece(&mut self) -> &mut [u8] {
        let start = self.memory.as_ptr().align_offset(PAGE);
        let len = if self.seen < LONG { PIECE } else { LONG_PIECE };
        &mut self.memory[start..][..len]
    }
}

/// Sums up a range by threads if it is long, else nothing of it. What follows the bytes that were
/// found is left to others.
fn by_threads(
    file: &File,
    range: Range<u64>,
    threads: Option<NonZero<usize>>,
) -> Result<Sum, Error> {
    let length = range.end.saturating_sub(range.start);
    if length < PARALLEL_FROM {
        return Ok(Sum::EMPTY);
    }
    // The kernel reads further ahead. A file system without such advice is no failure.
    let _ = fcntl::posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL);
    let threads = threads
        .or_else(|| thread::available_parallelism().ok())
        .map_or(1, |threads| threads.get() as u64)
        .min(length / (PARALLEL_FROM / 2));
    if threads == 1 {
        return Ok(Sum::EMPTY);
    }
    // All take the next range, whoever is first, so that a disk sees one place move on. They are not
    // rayon's, whose pool takes longer to start and leaves the caller to wait.
    let next = AtomicU64::new(range.start);
    let work = || -> Result<Vec<(u64, Sum)>, Error> {
        let mut sums = Vec::new();
        loop {
            let start = next.fetch_add(RANGE, Ordering::Relaxed);
            if start >= range.end {
                return Ok(sums);
            }
            let part = start..range.end.min(start + RANGE);
            match by_one(file, Sum::EMPTY, part) {
                Ok(sum) => sums.push((start, sum)),
                Err(error) => {
                    next.store(range.end, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    };
    let sums = thread::scope(|scope| {
        // Where there may be no more threads, those that there are do.
        let others: Vec<_> = (1..threads)
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mut sums = work()?;
        for other in others {
            sums.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
        Ok(sums)
    })?;
    Ok(without_gap(range.start, sums))
}

/// Puts together sums of what begins at the places given. A gap, as in a file that was cut short and
/// grew again, is the end.
fn without_gap(start: u64, mut sums: Vec<(u64, Sum)>) -> Sum {
    sums.sort_unstable_by_key(|(at, _)| *at);
    let mut whole = Sum::EMPTY;
    for (at, sum) in sums {
        if at != start + whole.length {
            break;
        }
        whole = whole.combine(sum);
    }
    whole
}

/// Continues `sum`, which is of the first bytes of a range, with the rest.
fn by_one(file: &File, sum: Sum, range: Range<u64>) -> Result<Sum, Error> {
    let mut at = range.start + sum.length;
    continue_sum(sum, |buffer| {
        let left = range.end.saturating_sub(at);
        let len = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = file.read_at(&mut buffer[..len], at)?;
        at += read as u64;
        Ok(read)
    })
}

fn continue_sum(sum: Sum, read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> Result<Sum, Error> {
    let mut hasher = Hasher::resume(sum);
    read_all(read, |piece| {
        hasher.update(piece);
        Ok(())
    })?;
    Ok(hasher.sum())
}

/// The size of a regular file, or 0.
fn size(file: BorrowedFd<'_>) -> Result<u64, Error> {
    let stat = stat::fstat(file).map_err(|errno| Error::Read(errno.into()))?;
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    Ok(match kind {
        SFlag::S_IFREG => stat.st_size as u64,
        _ => 0,
    })
}

fn duplicate(file: BorrowedFd<'_>) -> Result<File, Error> {
    let file = file.try_clone_to_owned().map_err(Error::Read)?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(data: &[u8]) -> Sum {
        let mut hasher = Hasher::new();
        hasher.update(data);
        hasher.sum()
    }

    #[test]
    fn a_gap_is_the_end() {
        let sums = vec![(14, sum(b"e")), (10, sum(b"ab")), (12, sum(b"cd"))];
        assert_eq!(without_gap(10, sums), sum(b"abcde"));
        let sums = vec![(14, sum(b"e")), (10, sum(b"ab")), (12, sum(b"c"))];
        assert_eq!(without_gap(10, sums), sum(b"abc"));
        let sums = vec![(12, sum(b"cd")), (10, Sum::EMPTY)];
        assert_eq!(without_gap(10, sums), Sum::EMPTY);
    }

    #[test]
    fn the_buffer_begins_with_a_page() {
        let mut buffer = Buffer::new();
        for (seen, len) in [(0, PIECE), (LONG - 1, PIECE), (LONG, LONG_PIECE)] {
            buffer.seen = seen;
            let piece = buffer.piece();
            assert_eq!((piece.as_ptr() as usize % PAGE, piece.len()), (0, len));
        }
    }
}
