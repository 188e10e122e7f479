// SPDX-License-Identifier: GPL-2.0

//! Abstractions that the `kernel` crate lacks. Nothing here depends on Adler-32.
//!
//! These files contain nearly all of the module's `unsafe` code, behind safe interfaces that follow
//! those of the `kernel` crate.

pub(crate) mod cred;
#[cfg(CONFIG_X86_64)]
pub(crate) mod fpu;
pub(crate) mod iov;
pub(crate) mod kiocb;
pub(crate) mod miscdevice;
#[cfg(CONFIG_ARM64)]
pub(crate) mod neon;
pub(crate) mod param;
mod raw;
pub(crate) mod shash;
pub(crate) mod task;
pub(crate) mod wipe;
