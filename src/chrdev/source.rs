// SPDX-License-Identifier: GPL-2.0

//! How the bytes that a caller has reach the algorithm.

use crate::adler32::Adler32;
use crate::implementation;
use crate::kernel_ext::iov;
use crate::kernel_ext::task;
use core::mem::MaybeUninit;
use kernel::iov::IovIterSource;
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;
use kernel::uaccess::UserPtr;

/// From how many bytes on a piece of memory is read where it lies, by its pages.
const IN_PLACE: usize = PAGE_SIZE;

/// How many pages are held at a time.
const PAGES: usize = 64;

/// How many bytes are copied at a time, where they are copied.
const CHUNK: usize = 16 * 1024;

/// Continues `sum` over all of `iov`. After each part, `done` is told the sum and the number of
/// bytes in the part. An error means that the memory ends early or that the caller is killed.
pub(super) fn append(
    mut sum: Adler32,
    iov: &mut IovIterSource<'_>,
    mut done: impl FnMut(Adler32, usize) -> Result,
) -> Result {
    while !iov.is_empty() {
        if task::fatal_signal_pending() {
            return Err(EINTR);
        }
        let len = append_part(&mut sum, iov)?;
        done(sum, len)?;
        task::cond_resched();
    }
    Ok(())
}

/// Continues `sum` over `length` bytes at the user's `address`.
pub(super) fn append_user(mut sum: Adler32, address: u64, length: u64) -> Result<Adler32> {
    let mut address = usize::try_from(address).map_err(|_| EFAULT)?;
    let length = usize::try_from(length).map_err(|_| EFAULT)?;
    let end = address.checked_add(length).ok_or(EFAULT)?;
    while address < end {
        iov::with_user_memory(UserPtr::from_addr(address), end - address, |iov| {
            append(sum, iov, |checksum, len| {
                sum = checksum;
                address += len;
                Ok(())
            })
        })??;
    }
    Ok(sum)
}

/// Continues `sum` over the next part of `iov`, which is not empty. Returns its length.
fn append_part(sum: &mut Adler32, iov: &mut IovIterSource<'_>) -> Result<usize> {
    if iov::segment_len(iov) >= IN_PLACE {
        let len = iov::for_each_run::<PAGES>(iov, |run| *sum = implementation::update(*sum, run));
        // What cannot be pinned may still be there.
        if len.is_ok() {
            return len;
        }
    }
    let mut buffer = KVec::<u8>::with_capacity(iov.len().min(CHUNK), GFP_KERNEL)?;
    let copy = copy(iov, buffer.spare_capacity_mut())?;
    *sum = implementation::update(*sum, copy);
    Ok(copy.len())
}

/// Copies as much of `iov`, which is not empty, as fits in `buffer`.
pub(super) fn copy<'a>(
    iov: &'a mut IovIterSource<'_>,
    buffer: &'a mut [MaybeUninit<u8>],
) -> Result<&'a [u8]> {
    let copy = iov.copy_from_iter_raw(buffer);
    if copy.is_empty() {
        return Err(EFAULT);
    }
    Ok(copy)
}
