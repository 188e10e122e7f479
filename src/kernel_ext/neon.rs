// SPDX-License-Identifier: GPL-2.0

//! The vector registers of arm64 in the kernel, which must be borrowed from user space.
//!
//! C header: [`arch/arm64/include/asm/simd.h`](srctree/arch/arm64/include/asm/simd.h)

use core::mem::MaybeUninit;

use kernel::bindings;

/// The functions in `neon_helpers.c`. `state` points to a `struct user_fpsimd_state`. (The compiler
/// warns about pointers to that type, because it contains 128-bit integers.)
mod c {
    use kernel::ffi::c_void;

    unsafe extern "C" {
        pub(super) safe fn adler32_has_neon() -> bool;
        pub(super) safe fn adler32_has_dotprod() -> bool;
        pub(super) fn adler32_neon_begin(state: *mut c_void) -> bool;
        pub(super) fn adler32_neon_end(state: *mut c_void);
    }
}

/// Returns whether all processors have NEON.
pub(crate) fn has_neon() -> bool {
    c::adler32_has_neon()
}

/// Returns whether all processors have the dot product of NEON.
pub(crate) fn has_dotprod() -> bool {
    c::adler32_has_dotprod()
}

/// Calls `work`, which may change the vector registers. Returns `None` without calling it if the
/// registers cannot be used in the current context, which is so in hardirqs.
///
/// A task can be preempted while `work` runs: the kernel then saves the registers of `work`, too.
pub(crate) fn with_vectors<R>(work: impl FnOnce() -> R) -> Option<R> {
    // The kernel keeps the registers of `work` here while the task is preempted.
    let mut state = MaybeUninit::<bindings::user_fpsimd_state>::uninit();
    // SAFETY: `state` is memory for the kernel to write to, and it stays valid and in place until
    // the section ends below, on all paths: the kernel's Rust code does not unwind.
    if !unsafe { c::adler32_neon_begin(state.as_mut_ptr().cast()) } {
        return None;
    }
    let result = work();
    // SAFETY: This ends the section that began above, with the same `state`.
    unsafe { c::adler32_neon_end(state.as_mut_ptr().cast()) };
    Some(result)
}
