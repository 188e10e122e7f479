// SPDX-License-Identifier: GPL-2.0

//! Memory of an [`IovIterSource`], read where it lies.
//!
//! C headers: [`include/linux/uio.h`](srctree/include/linux/uio.h),
//! [`include/linux/highmem.h`](srctree/include/linux/highmem.h)

use core::mem::MaybeUninit;
use core::slice;
use kernel::bindings;
use kernel::error::to_result;
use kernel::ffi::c_int;
use kernel::iov::IovIterSource;
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;
use kernel::uaccess::UserPtr;

/// Whether pages whose descriptors are neighbours are neighbours in memory, too: they are mapped for
/// good, and the descriptors are one array.
const MAPPED_IN_ORDER: bool =
    !cfg!(CONFIG_KMAP_LOCAL) && cfg!(any(CONFIG_SPARSEMEM_VMEMMAP, CONFIG_FLATMEM));

/// Returns how many bytes the piece of memory has that is next in `iov`.
pub(crate) fn segment_len(iov: &mut IovIterSource<'_>) -> usize {
    // SAFETY: The iov_iter is valid.
    unsafe { bindings::iov_iter_single_seg_count(iov.as_raw()) }
}

/// Takes the next at most `N` pages off `iov` and calls `work` with the bytes in each of their runs
/// that are contiguous, in order. Returns the number of bytes, or [`EFAULT`] if the first page
/// cannot be had: it may not be there, or be of a kind that can be copied from but not be pinned.
///
/// Pages of user space are pinned meanwhile. Others can write to what `work` reads, as to all
/// memory of user space; it must not depend on the bytes for more than its result.
pub(crate) fn for_each_run<const N: usize>(
    iov: &mut IovIterSource<'_>,
    mut work: impl FnMut(&[u8]),
) -> Result<usize> {
    let mut pages = [const { MaybeUninit::uninit() }; N];
    let pages = Pages::extract(iov, &mut pages)?;
    let mut offset = pages.offset;
    let mut left = pages.len;
    let mut rest = pages.pages;
    while let [first, ..] = rest {
        let neighbours = rest
            .iter()
            .zip(rest.iter().skip(1))
            .take_while(|(page, next)| MAPPED_IN_ORDER && page.wrapping_add(1) == **next)
            .count();
        let (run, others) = rest.split_at(1 + neighbours);
        let len = left.min(run.len() * PAGE_SIZE - offset);
        // SAFETY: The page is there while `pages` is.
        let mapping = unsafe { bindings::kmap_local_page(*first) };
        // SAFETY: So are its neighbours, which are mapped behind it. That others may write to them
        // is told to callers.
        work(unsafe { slice::from_raw_parts(mapping.cast::<u8>().add(offset), len) });
        // SAFETY: Mapped above, as the last one.
        unsafe { bindings::kunmap_local(mapping) };
        (offset, left, rest) = (0, left - len, others);
    }
    Ok(pages.len)
}

/// Calls `work` with an iov_iter over memory of the current process: `len` bytes from `address` on,
/// or the first of them if they are more than one system call takes.
pub(crate) fn with_user_memory<R>(
    address: UserPtr,
    len: usize,
    work: impl FnOnce(&mut IovIterSource<'_>) -> R,
) -> Result<R> {
    let mut iov = MaybeUninit::uninit();
    // SAFETY: The iov_iter can be written to. The address is checked.
    to_result(unsafe {
        bindings::import_ubuf(
            bindings::ITER_SOURCE as c_int,
            address.as_mut_ptr(),
            len,
            iov.as_mut_ptr(),
        )
    })?;
    // SAFETY: Just initialised, as a source; user memory can be read at all times.
    Ok(work(unsafe { IovIterSource::from_raw(iov.as_mut_ptr()) }))
}

/// Pages that were taken off an iov_iter.
///
/// # Invariants
///
/// The pages remain in existence as long as this value. They hold `len` bytes, of which the first
/// is at `offset` in the first page and the last in the last page. If `pinned`, each has been
/// pinned for this value.
struct Pages<'a> {
    pages: &'a [*mut bindings::page],
    offset: usize,
    len: usize,
    pinned: bool,
}

impl<'a> Pages<'a> {
    fn extract(
        iov: &'a mut IovIterSource<'_>,
        slots: &'a mut [MaybeUninit<*mut bindings::page>],
    ) -> Result<Self> {
        let iov = iov.as_raw();
        // SAFETY: The iov_iter is valid.
        let kind = u32::from(unsafe { (*iov).iter_type });
        // `iov_iter_extract_will_pin()`.
        let pinned = matches!(
            kind,
            bindings::iter_type_ITER_UBUF | bindings::iter_type_ITER_IOVEC
        );
        let mut offset = 0;
        let mut array = slots.as_mut_ptr().cast();
        // SAFETY: The iov_iter is valid, and the array has room for as many pages.
        let len = unsafe {
            bindings::iov_iter_extract_pages(
                iov,
                &mut array,
                usize::MAX,
                slots.len() as u32,
                0,
                &mut offset,
            )
        };
        let len = usize::try_from(len).map_err(|_| EFAULT)?;
        if len == 0 {
            return Err(EFAULT);
        }
        let count = (offset + len).div_ceil(PAGE_SIZE);
        // SAFETY: As many pages were stored as the bytes touch, in the array that was passed.
        let pages = unsafe { slice::from_raw_parts(array, count) };
        // INVARIANT: The pages were pinned just now, or else belong to who made the iov_iter, which
        // is borrowed.
        Ok(Self {
            pages,
            offset,
            len,
            pinned,
        })
    }
}

impl Drop for Pages<'_> {
    fn drop(&mut self) {
        if self.pinned {
            let array = self.pages.as_ptr().cast_mut();
            // SAFETY: By the type invariant they are pinned, and nobody uses them any more. The
            // array is not written to.
            unsafe { bindings::unpin_user_pages(array, self.pages.len()) };
        }
    }
}
