// SPDX-License-Identifier: GPL-2.0

//! Memory that must not keep what it has contained.
//!
//! C header: [`include/linux/string.h`](srctree/include/linux/string.h)

use core::{
    arch::asm,
    mem::MaybeUninit, //
};

/// Overwrites `bytes` with zeros, even if nothing reads them afterward, like `memzero_explicit()`.
pub(crate) fn wipe(bytes: &mut [MaybeUninit<u8>]) {
    bytes.fill(MaybeUninit::new(0));
    // SAFETY: The code is empty. For the compiler it may read the bytes, so they must be written.
    unsafe {
        asm!("/* {0} */", in(reg) bytes.as_ptr(), options(nostack, preserves_flags, readonly));
    }
}
