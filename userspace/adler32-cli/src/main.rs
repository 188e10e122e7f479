// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The `adler32` command.

fn main() {}
