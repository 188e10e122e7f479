// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Several sessions of the device, one for each thread that sends parts of a file.

use std::io;
use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Mutex;

use super::source::Source;
use super::Options;
use super::Way;
use crate::error::failed;
use crate::error::Error;
use crate::error::DEVICE_PATH;
use crate::session::Session;
use crate::sum::Sum;
use crate::threads::lock;
use crate::transfer;
use crate::transfer::Call;

/// The sessions. Another session is opened when a thread needs one and none is free.
pub(crate) struct Sessions {
    free: Mutex<Vec<Session>>,
    /// Whether the device has failed.
    failed: AtomicBool,
}

impl Sessions {
    /// Opens the first session.
    pub fn open() -> Result<Self, Error> {
        Ok(Self {
            free: Mutex::new(vec![Session::open()?]),
            failed: AtomicBool::new(false),
        })
    }

    /// Has the kernel send bytes of a file to the device. The sum covers the first bytes of the
    /// range. It does not cover all of them if the file ends, or if the kernel cannot send the
    /// file.
    pub fn send(
        &self,
        source: &Source,
        range: Range<u64>,
        options: Options<'_>,
    ) -> Result<Sum, Error> {
        let free = lock(&self.free).pop();
        let mut session = match free {
            Some(session) => session,
            None => Session::open()?,
        };
        let sum = send(&mut session, source, range)?;
        lock(&self.free).push(session);
        options.report(Way::Sent, sum.length);
        Ok(sum)
    }

    /// Does the same as [`Self::send`] if that is faster than reading. The sum covers no bytes if
    /// it is not, or if the device cannot be used or fails.
    pub fn send_if_faster(&self, source: &Source, range: Range<u64>, options: Options<'_>) -> Sum {
        if self.failed.load(Relaxed) || !is_faster(source, &range) {
            return Sum::EMPTY;
        }
        self.send(source, range, options).unwrap_or_else(|_| {
            self.failed.store(true, Relaxed);
            Sum::EMPTY
        })
    }
}

/// Returns whether the device sums bytes of a file faster than this process, which reads and sums
/// them: whether they are in the page cache.
///
/// `bench-device` printed these rates for a file of 1 GiB in the page cache, in User Mode Linux
/// with one processor and with two. They are GB/s in the best of 11 passes, and in the median one.
/// In the stock kernel, `sendfile` to the device takes 0.85 times as many instructions as reading
/// 1 MiB at a time and summing it (2.68 and 2.28 GB/s if each takes a nanosecond).
///
/// | | one processor, one thread | two processors, one thread | two threads |
/// |---|---|---|---|
/// | device | 15.7 (14.9) | 9.1 (8.8) | 13.8 (12.5) |
/// | processor | 11.3 (11.1) | 4.6 (4.4) | 6.9 (5.9) |
///
/// From a disk, the device gains nothing, because the disk takes the time. Files that are shorter
/// than [`PARALLEL_FROM`](super::PARALLEL_FROM) were not compared.
fn is_faster(source: &Source, range: &Range<u64>) -> bool {
    source.is_memory() || source.tells_cached() && !source.is_cold(range.start)
}

/// Has the kernel send bytes of a file to a session.
fn send(session: &mut Session, source: &Source, range: Range<u64>) -> Result<Sum, Error> {
    session.reset()?;
    let mut at = range.start;
    while at < range.end {
        let most = usize::try_from(range.end - at).unwrap_or(usize::MAX);
        let most = most.min(transfer::MOST);
        match transfer::send(source.as_fd(), &*session, Call::Sendfile, Some(at), most) {
            0 => break,
            sent => at += sent as u64,
        }
    }
    let sum = session.sum()?;
    if sum.length != at - range.start {
        return Err(failed(DEVICE_PATH, "sendfile")(io::ErrorKind::InvalidData));
    }
    Ok(sum)
}
