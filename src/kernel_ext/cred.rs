// SPDX-License-Identifier: GPL-2.0

//! The user namespace of credentials.
//!
//! C header: [`include/linux/cred.h`](srctree/include/linux/cred.h)

use kernel::{
    bindings,
    cred::Credential, //
};

/// Returns whether `cred` belongs to the initial user namespace.
pub(crate) fn in_initial_user_ns(cred: &Credential) -> bool {
    // SAFETY: By the type invariant of `Credential`, the pointer is valid as long as the reference.
    // The kernel never changes the namespace of credentials that are in use.
    let user_ns = unsafe { (*cred.as_ptr()).user_ns };
    user_ns == &raw mut bindings::init_user_ns
}
