// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Generates the Rust metadata that the headers of a stock kernel lack.
//!
//! Rust modules are built against `rust/*.rmeta`, `rust/*.so` and `scripts/target.json`. Debian's
//! headers packages do not contain these files. The kit generates them from the kernel source of
//! the same version, with the same configuration and the same compilers. The names of Rust symbols
//! contain hashes of what the symbols are made of, so comparing the names with those that the stock
//! kernel exports shows whether the generated metadata is the right one.

pub mod archive;
mod build_dir;
mod cache;
mod cli;
pub mod command;
mod directory;
mod headers;
mod metadata;
mod needs;
pub mod owned;
mod package;
pub mod rustc;
mod source;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use cli::main;
pub use cli::NAME;
