// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The command `adler32`.

#![no_main]

mod start;
