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

use nix::fcntl;
use nix::fcntl::PosixFadviseAdvice;
use nix::sys::stat;
use nix::sys::stat::SFlag;
use nix::unistd;

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

/// How many bytes a thread takes at once. In the page cache, 1 to 64 MiB were equally fast. From a
/// disk, 4 MiB were faster than 16 MiB, because the kernel reads ahead at one place.
const STEP: u64 = 4 * 1024 * 1024;

/// How many bytes are read at a time: [`PIECE`] bytes at first, and [`LONG_PIECE`] bytes after
/// [`LONG`] bytes have been read into the buffer. Each page of a new buffer costs a page fault,
/// which a short file does not pay back.
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
/// let count = |bytes| {
///     counter.fetch_add(bytes, Ordering::Relaxed);
/// };
/// let options = Options {
///     threads: NonZero::new(2),
///     progress: Some(&count),
/// };
/// let sum = file::checksum(File::open("Cargo.toml")?, options)?;
/// assert_eq!(counter.into_inner(), sum.length);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// How many threads may read a long file. `None` stands for the number of processors.
    pub threads: Option<NonZero<usize>>,
    /// Called with the number of bytes whenever a thread has summed a piece of the file.
    pub progress: Option<&'a (dyn Fn(u64) + Sync)>,
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
    let mut left = PIECE;
    let mut sum = continue_sum(Sum::EMPTY, options, |buffer| {
        let read = unistd::read(file, &mut buffer[..left])?;
        left -= read;
        Ok(read)
    })?;
    // Most files end here, without a call for their size.
    if left > 0 {
        return Ok(sum);
    }
    let size = size(file)?;
    if size >= PARALLEL_FROM {
        let mut file = duplicate(file)?;
        let start = file.stream_position().map_err(Error::Read)?;
        let rest = by_threads(&file, start..size, options)?;
        file.seek(SeekFrom::Start(start + rest.length))
            .map_err(Error::Read)?;
        sum = sum.combine(rest);
    }
    // This read also finds bytes that were appended in the meantime.
    continue_sum(sum, options, |buffer| Ok(unistd::read(file, buffer)?))
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
    let file = duplicate(file.as_fd())?;
    let size = size(file.as_fd())?;
    let sum = by_threads(&file, range.start..range.end.min(size), options)?;
    by_one(&file, sum, range, options)
}

/// Calls `read` until it returns 0, and passes each piece to `take`. Returns the number of bytes.
pub(crate) fn read_all(
    options: Options<'_>,
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    mut take: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<u64, Error> {
    thread_local! {
        // Each thread keeps its buffer for the next file.
        static BUFFER: Cell<Option<Buffer>> = const { Cell::new(None) };
    }
    // The buffer is taken, not borrowed, because the caller's `read` may call this function again.
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
                if let Some(progress) = options.progress {
                    progress(len as u64);
                }
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
/// The memory begins at the start of a page, as the kernel's copy of the file does. Memory from
/// `malloc` begins 16 bytes after the start of a page. Reading into it, which the kernel does by
/// `rep movsb`, ran at 0.4 to 0.75 times the speed.
struct Buffer {
    memory: Vec<u8>,
    /// How many bytes have been read into the memory so far.
    seen: u64,
}

impl Buffer {
    fn new() -> Self {
        Self {
            memory: vec![0; LONG_PIECE + PAGE - 1],
            seen: 0,
        }
    }

    /// Returns the memory for the next piece.
    fn piece(&mut self) -> &mut [u8] {
        let start = self.memory.as_ptr().align_offset(PAGE);
        let len = if self.seen < LONG { PIECE } else { LONG_PIECE };
        &mut self.memory[start..][..len]
    }
}

/// Sums a range with several threads if the range is long, and else returns the sum of no bytes.
/// The sum ends where the file did; the caller reads on from there.
fn by_threads(file: &File, range: Range<u64>, options: Options<'_>) -> Result<Sum, Error> {
    let length = range.end.saturating_sub(range.start);
    if length < PARALLEL_FROM {
        return Ok(Sum::EMPTY);
    }
    // The kernel then reads further ahead. Some file systems refuse the advice, which does no harm.
    let _ = fcntl::posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL);
    let threads = threads::number(options.threads).min(length / (PARALLEL_FROM / 2));
    if threads == 1 {
        return Ok(Sum::EMPTY);
    }
    threads::sum(range, STEP, threads, |part| {
        by_one(file, Sum::EMPTY, part, options)
    })
}

/// Appends to `sum`, which covers the first bytes of a range, the rest of the range.
fn by_one(file: &File, sum: Sum, range: Range<u64>, options: Options<'_>) -> Result<Sum, Error> {
    let mut at = range.start + sum.length;
    continue_sum(sum, options, |buffer| {
        let left = range.end.saturating_sub(at);
        let len = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = file.read_at(&mut buffer[..len], at)?;
        at += read as u64;
        Ok(read)
    })
}

fn continue_sum(
    sum: Sum,
    options: Options<'_>,
    read: impl FnMut(&mut [u8]) -> io::Result<usize>,
) -> Result<Sum, Error> {
    let mut hasher = Hasher::resume(sum);
    read_all(options, read, |piece| {
        hasher.update(piece);
        Ok(())
    })?;
    Ok(hasher.sum())
}

/// Returns the size of a regular file, or else 0.
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
