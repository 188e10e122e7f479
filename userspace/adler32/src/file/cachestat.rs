// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The system call `cachestat` of Linux 6.5, which nix and rustix lack.

use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;

use linux_raw_sys::general::__NR_cachestat;
use linux_raw_sys::general::cachestat;
use linux_raw_sys::general::cachestat_range;
use nix::errno::Errno;
use nix::libc;
use rustix::param::page_size;

/// Returns how many bytes of a range of a file are in the page cache, in whole pages.
///
/// Newer kernels refuse with EPERM if the caller neither owns the file nor may write to it.
pub fn cached(file: BorrowedFd<'_>, range: &Range<u64>) -> io::Result<u64> {
    let range = cachestat_range {
        off: range.start,
        len: range.end - range.start,
    };
    let mut counts = cachestat {
        nr_cache: 0,
        nr_dirty: 0,
        nr_writeback: 0,
        nr_evicted: 0,
        nr_recently_evicted: 0,
    };
    // SAFETY: The kernel reads `range` and writes `counts`, and keeps neither.
    let result = unsafe {
        libc::syscall(
            __NR_cachestat.into(),
            file.as_raw_fd(),
            &range,
            &mut counts,
            0,
        )
    };
    Errno::result(result)?;
    Ok(counts.nr_cache * page_size() as u64)
}
