// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Compares checksums of memory and of files with those of other libraries.

mod algorithm;
#[path = "../common/mod.rs"]
mod common;
mod file;
mod parallel;
