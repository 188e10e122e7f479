// SPDX-License-Identifier: GPL-2.0

//! The memory of an [`IovIterSource`], read in place.
//!
//! C headers: [`include/linux/uio.h`](srctree/include/linux/uio.h),
//! [`include/linux/mm.h`](srctree/include/linux/mm.h),
//! [`include/linux/highmem.h`](srctree/include/linux/highmem.h)

use core::{
    mem::MaybeUninit,
    ptr,
    slice, //
};

use kernel::{
    bindings,
    error::to_result,
    ffi::c_int,
    iov::IovIterSource,
    page::PAGE_SIZE,
    prelude::*,
    uaccess::UserPtr, //
};

/// Returns whether `iov` describes memory of user space, like `user_backed_iter()`.
pub(crate) fn is_user_backed(iov: &mut IovIterSource<'_>) -> bool {
    // SAFETY: By the type invariant of `IovIterSource`, the pointer is valid.
    let kind = u32::from(unsafe { (*iov.as_raw()).iter_type });
    matches!(
        kind,
        bindings::iter_type_ITER_UBUF | bindings::iter_type_ITER_IOVEC
    )
}

/// Returns the number of bytes in the next segment of `iov`.
pub(crate) fn segment_len(iov: &mut IovIterSource<'_>) -> usize {
    // SAFETY: By the type invariant of `IovIterSource`, the pointer is valid.
    unsafe { bindings::iov_iter_single_seg_count(iov.as_raw()) }
}

/// Makes the first page of `iov` present. If it is just below a stack, this makes the stack larger.
/// Pinning does not, and would log a warning with a stack dump.
pub(crate) fn fault_in_first(iov: &mut IovIterSource<'_>) {
    // SAFETY: By the type invariant of `IovIterSource`, the pointer is valid.
    unsafe { bindings::fault_in_iov_iter_readable(iov.as_raw(), 1) };
}

/// Takes the next pages, at most `N`, from `iov`. Calls `work` with the bytes of each run of pages
/// that are contiguous in memory, in order. Returns the number of bytes.
///
/// Pages of user space are pinned until this returns. `None` means that the first page is not
/// present, or that pinning would change it: pinning a page that is shared with other processes
/// until one of them writes to it would copy the page for good. The bytes may still be copied.
///
/// Fails with [`EIO`] if the hardware has reported an error in the memory of a page. Such an error
/// was found after the page became part of a pipe or of a registered buffer: programs can no longer
/// map the page.
///
/// User space can write to the bytes while `work` reads them. The result of `work` is then
/// undefined, but nothing worse may happen.
pub(crate) fn for_each_run<const N: usize>(
    iov: &mut IovIterSource<'_>,
    mut work: impl FnMut(&[u8]),
) -> Result<Option<usize>> {
    const { assert!(N > 0) };
    let mut pages = [const { MaybeUninit::uninit() }; N];
    let Some(pages) = Pages::extract(iov, &mut pages) else {
        return Ok(None);
    };
    // SAFETY: By the type invariant of `Pages`, the pages exist as long as `pages`.
    if pages.pages.iter().any(|&page| unsafe { is_poisoned(page) }) {
        return Err(EIO);
    }
    // SAFETY: By the type invariant of `Pages`, the page exists as long as `pages`.
    let map = |page| unsafe { bindings::kmap_local_page(page) };
    let mut offset = pages.offset;
    let mut left = pages.len;
    let mut rest = pages.pages.iter().copied().peekable();
    while let Some(page) = rest.next() {
        let mapping = map(page);
        let mut end = PAGE_SIZE;
        // Where all memory is always mapped, pages at consecutive addresses are read as one run.
        let follows =
            |page, end| !cfg!(CONFIG_KMAP_LOCAL) && map(page) == mapping.wrapping_byte_add(end);
        while rest.next_if(|&next| follows(next, end)).is_some() {
            end += PAGE_SIZE;
        }
        let len = left.min(end - offset);
        // SAFETY: `mapping` is the address of pages that `pages` keeps in existence, and by its
        // type invariant the bytes are in them. User space may write to them at the same time,
        // which Rust's rules call a data race. Only a copy would exclude it. As in C, `work` must
        // accept any bytes, as documented above.
        work(unsafe { slice::from_raw_parts(mapping.cast::<u8>().add(offset), len) });
        // SAFETY: `map()` returned `mapping`. With CONFIG_KMAP_LOCAL, where mappings must be undone
        // in order, `follows()` has mapped no other page.
        unsafe { bindings::kunmap_local(mapping) };
        offset = 0;
        left -= len;
    }
    Ok(Some(pages.len))
}

/// Returns whether the memory of a page has an error that the hardware cannot correct, like
/// `PageHWPoison()`.
///
/// # Safety
///
/// `page` must be valid for the duration of the call.
unsafe fn is_poisoned(page: *mut bindings::page) -> bool {
    #[cfg(CONFIG_MEMORY_FAILURE)]
    {
        // SAFETY: The caller guarantees that the page is valid. Its flags may change at any time.
        let flags = unsafe { (&raw const (*page).flags.f).read_volatile() };
        flags & 1 << bindings::pageflags_PG_hwpoison != 0
    }
    #[cfg(not(CONFIG_MEMORY_FAILURE))]
    {
        let _ = page;
        false
    }
}

/// Calls `work` with an iov_iter over the current process's memory: `len` bytes from `address` on,
/// or as many of them as one system call may transfer.
pub(crate) fn with_user_memory<R>(
    address: UserPtr,
    len: usize,
    work: impl FnOnce(&mut IovIterSource<'_>) -> R,
) -> Result<R> {
    let mut iov = MaybeUninit::uninit();
    // SAFETY: The function writes to `iov`, which is valid for writes. It checks the address.
    to_result(unsafe {
        bindings::import_ubuf(
            bindings::ITER_SOURCE as c_int,
            address.as_mut_ptr(),
            len,
            iov.as_mut_ptr(),
        )
    })?;
    // SAFETY: `import_ubuf()` has initialized the iov_iter as a source, and nothing else uses it
    // until this function returns. The user's addresses need not be mapped, because each access
    // through the iov_iter is checked.
    Ok(work(unsafe { IovIterSource::from_raw(iov.as_mut_ptr()) }))
}

/// Pages that were taken from an iov_iter.
///
/// # Invariants
///
/// The pages remain in existence as long as this value. They contain `len` bytes, the first of them
/// at `offset` in the first page and the last in the last page. If `pinned`, each page has been
/// pinned for this value.
struct Pages<'a> {
    pages: &'a [*mut bindings::page],
    offset: usize,
    len: usize,
    pinned: bool,
}

impl<'a> Pages<'a> {
    /// Takes the next pages from `iov`, at most as many as `array` has room for.
    fn extract(
        iov: &'a mut IovIterSource<'_>,
        array: &'a mut [MaybeUninit<*mut bindings::page>],
    ) -> Option<Self> {
        let pinned = is_user_backed(iov);
        let iov = iov.as_raw();
        let mut offset = 0;
        let mut pages = array.as_mut_ptr().cast();
        // SAFETY: By the type invariant of `IovIterSource`, the pointer is valid, and the borrow of
        // `iov` is exclusive.
        let nofault = unsafe { ptr::replace(&raw mut (*iov).nofault, true) };
        // SAFETY: The iov_iter is valid as above, and `pages` points to room for the number of
        // pages that is passed.
        let len = unsafe {
            bindings::iov_iter_extract_pages(
                iov,
                &mut pages,
                usize::MAX,
                array.len() as u32,
                0,
                &mut offset,
            )
        };
        // SAFETY: The iov_iter is valid as above.
        unsafe { (*iov).nofault = nofault };
        // The error does not matter: copying the bytes returns the one that the caller needs.
        let len = usize::try_from(len).ok().filter(|&len| len > 0)?;
        let count = (offset + len).div_ceil(PAGE_SIZE);
        // SAFETY: The function has stored all pages that the `len` bytes touch. It stored them in
        // `array`, since it allocates an array only if the pointer passed is null.
        let pages = unsafe { slice::from_raw_parts(pages, count) };
        // INVARIANT: The function has pinned the pages of user space for this call. Other pages
        // belong to the maker of the iov_iter, which is borrowed.
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
            // SAFETY: By the type invariant, the pages are pinned for this value, and nothing uses
            // them after it. The function does not write to the array.
            unsafe { bindings::unpin_user_pages(array, self.pages.len()) };
        }
    }
}
