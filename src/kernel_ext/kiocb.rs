// SPDX-License-Identifier: GPL-2.0

//! Whether the operation of a [`Kiocb`] may wait.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use kernel::{
    ffi::c_int,
    fs::Kiocb,
    types::ForeignOwnable, //
};

/// `IOCB_NOWAIT`, which `bindings` lacks. It is `RWF_NOWAIT` of the kernel's ABI.
const IOCB_NOWAIT: c_int = 8;

/// Whether an operation may wait for others and for memory. If not, it fails with
/// [`EAGAIN`](kernel::error::code::EAGAIN) instead.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    Yes,
    No,
}

impl Wait {
    /// Returns whether the operation of `kiocb` may wait.
    pub(crate) fn of<T: ForeignOwnable>(kiocb: &Kiocb<'_, T>) -> Self {
        // SAFETY: By the type invariant of `Kiocb`, the pointer is valid. The flags do not change
        // during the operation.
        let flags = unsafe { (*kiocb.as_raw()).ki_flags };
        if flags & IOCB_NOWAIT == 0 {
            Self::Yes
        } else {
            Self::No
        }
    }
}
