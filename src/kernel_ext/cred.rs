// SPDX-License-Identifier: GPL-2.0

//! What credentials tell of user namespaces.
//!
//! C headers: [`include/linux/cred.h`](srctree/include/linux/cred.h)

use kernel::bindings;
use kernel::cred::Credential;

/// Returns whether the user IDs in `cred` are those of the initial user namespace.
pub(crate) fn in_initial_user_ns(cred: &Credential) -> bool {
    // SAFETY: The reference is valid, and the namespace of credentials does not change.
    let user_ns = unsafe { (*cred.as_ptr()).user_ns };
    user_ns == &raw mut bindings::init_user_ns
}
