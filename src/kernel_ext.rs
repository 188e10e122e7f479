// SPDX-License-Identifier: GPL-2.0

//! What the `kernel` crate lacks: nothing here is about Adler-32.
//!
//! Nearly all of the module's `unsafe` code is in this folder, behind safe interfaces that follow
//! those of the `kernel` crate.

pub(crate) mod cred;
#[cfg(CONFIG_X86_64)]
pub(crate) mod fpu;
pub(crate) mod iov;
pub(crate) mod miscdevice;
mod raw;
pub(crate) mod shash;
pub(crate) mod task;
