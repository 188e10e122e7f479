// SPDX-License-Identifier: GPL-2.0

//! Memory of an [`IovIterSource`], read where it lies.
//!
//! C headers: [`include/linux/uio.h`](srctree/include/linux/uio.h),
//! [`include/linux/mm.h`](srctree/include/linux/mm.h),
//! [`include/linux/highmem.h`](srctree/include/linux/highmem.h)

use core::mem::MaybeUninit;
use core::ptr;
use core::slice;
use kernel::bindings;
use kernel::error::to_result;
use kernel::ffi::c_int;
use kernel::iov::IovIterSource;
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;
use kernel::uaccess::UserPtr;

/// Returns whether `iov` is over memory of user space: `user_backed_iter()`.
pub(crate) fn is_user_backed(iov: &mut IovIterSource<'_>) -> bool {
    // SAFETY: The iov_iter is valid.
    let kind = u32::from(unsafe { (*iov.as_raw()).iter_type });
    matches!(
        kind,
        bindings::iter_type_ITER_UBUF | bindings::iter_type_ITER_IOVEC
    )
}

/// Returns how many bytes the piece of memory has that is next in `iov`.
pub(crate) fn segment_len(iov: &mut IovIterSource<'_>) -> usize {
    // SAFETY: The iov_iter is valid.
    unsafe { bindings::iov_iter_single_seg_count(iov.as_raw()) }
}

/// Takes the next at most `N` pages off `iov` and calls `work` with the bytes in each of their runs
/// that are contiguous, in order. Returns the number of bytes.
///
/// Pages of user space are pinned meanwhile, if they are there. `None` means that the first one is
/// not, or cannot be pinned as it is: copying from it may succeed nevertheless. To pin pages that are
/// shared with other processes until one of them writes, for one, would copy them for good.
///
/// Others can write to what `work` reads, as to all memory of user space. Its result is then
/// undefined, but must not become anything worse than that.
pub(crate) fn for_each_run<const N: usize>(
    iov: &mut IovIterSource<'_>,
    mut work: impl FnMut(&[u8]),
) -> Option<usize> {
    const { assert!(N > 0) };
    let mut pages = [const { MaybeUninit::uninit() }; N];
    let pages = Pages::extract(iov, &mut pages)?;
    // SAFETY: The page is there while `pages` is.
    let map = |page| unsafe { bindings::kmap_local_page(page) };
    let mut offset = pages.offset;
    let mut left = pages.len;
    let mut rest = pages.pages.iter().copied().peekable();
    while let Some(page) = rest.next() {
        let mapping = map(page);
        let mut end = PAGE_SIZE;
        // Where all memory is mapped for good, neighbours are read as one.
        let follows =
            |page, end| !cfg!(CONFIG_KMAP_LOCAL) && map(page) == mapping.wrapping_byte_add(end);
        while rest.next_if(|&next| follows(next, end)).is_some() {
            end += PAGE_SIZE;
        }
        let len = left.min(end - offset);
        // SAFETY: The bytes are in the pages just mapped. By Rust's rules it is a race if user space
        // writes to them meanwhile, which only a copy would exclude; as in C, those who read must
        // be content with any bytes, see above.
        work(unsafe { slice::from_raw_parts(mapping.cast::<u8>().add(offset), len) });
        // SAFETY: Mapped above, as the only one where that matters.
        unsafe { bindings::kunmap_local(mapping) };
        offset = 0;
        left -= len;
    }
    Some(pages.len)
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
    // SAFETY: Just initialised, as a source, and used by nobody else. It says nothing of what is
    // mapped at its addresses, which are the user's: each access is checked.
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
    ) -> Option<Self> {
        let pinned = is_user_backed(iov);
        let iov = iov.as_raw();
        let mut offset = 0;
        let mut array = slots.as_mut_ptr().cast();
        // SAFETY: The iov_iter is valid.
        let nofault = unsafe { ptr::replace(&raw mut (*iov).nofault, true) };
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
        // SAFETY: The iov_iter is valid.
        unsafe { (*iov).nofault = nofault };
        // Whatever the error is, to copy will show one for the caller.
        let len = usize::try_from(len).ok().filter(|&len| len > 0)?;
        let count = (offset + len).div_ceil(PAGE_SIZE);
        // SAFETY: As many pages were stored as the bytes touch, in the array that was passed.
        let pages = unsafe { slice::from_raw_parts(array, count) };
        // INVARIANT: The pages were pinned just now, or else belong to who made the iov_iter, which
        // is borrowed.
        Some(Self {
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
