// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The command `adler32sum`. It is the same program, which `cargo install` installs under both
//! names.

#![no_main]

#[path = "../start.rs"]
mod start;
