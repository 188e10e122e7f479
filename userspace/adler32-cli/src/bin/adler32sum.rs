// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The command `adler32sum`: the same program, which `cargo install` is to install under both names.

#![no_main]

#[path = "../start.rs"]
mod start;
