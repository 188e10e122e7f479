// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Adler-32 (RFC 1950) computed by the `adler32` kernel module, or by the processor where the
//! module cannot be reached.
//!
//! [`Engine`] checksums whatever can be read, over the door that is asked for, or the device if it
//! works and else the processor; open files by [`Engine::checksum_file`], which is the fastest way:
//!
//! ```
//! use adler32::Engine;
//!
//! let mut engine = Engine::first();
//! let sum = engine.checksum(&b"Wikipedia"[..])?;
//! assert_eq!(sum.checksum.value(), 0x11e6_0398);
//! assert_eq!(sum.length, 9);
//! # Ok::<(), adler32::Error>(())
//! ```
//!
//! The processor sums parts of files, too, and by as many threads as it is told: [`file`].
//!
//! Below it are the doors themselves: [`Session`] over `/dev/adler32`, [`AfAlg`] over the kernel's
//! crypto API, and [`Hasher`] for the processor. What fails says why and how to mend it, see
//! [`Error`].

#![warn(missing_docs)]

use std::ffi::CStr;

mod af_alg;
mod engine;
mod error;
mod hasher;
mod session;
mod transfer;

pub mod file;
pub mod host;
pub mod processor;

#[path = "../../../src/adler32/mod.rs"]
pub mod algorithm;
#[path = "../../../src/uapi.rs"]
pub mod uapi;

pub use self::af_alg::AfAlg;
pub use self::af_alg::DRIVER_NAME;
pub use self::algorithm::Adler32;
pub use self::algorithm::MODULUS;
pub use self::engine::Engine;
pub use self::engine::Via;
pub use self::error::describe;
pub use self::error::Error;
pub use self::hasher::Hasher;
pub use self::session::request;
pub use self::session::Info;
pub use self::session::Session;

/// Makes text of a name of the kernel's.
const fn text(name: &'static CStr) -> &'static str {
    match name.to_str() {
        Ok(name) => name,
        Err(_) => panic!("names are UTF-8"),
    }
}

/// A checksum together with the number of bytes it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// The checksum.
    pub checksum: Adler32,
    /// Number of bytes.
    pub length: u64,
}

impl Sum {
    /// The checksum of no bytes.
    pub const EMPTY: Self = Self {
        checksum: Adler32::EMPTY,
        length: 0,
    };

    /// The checksum of the bytes that this one covers followed by those that `next` covers.
    ///
    /// ```
    /// use adler32::Hasher;
    ///
    /// let [mut first, mut next, mut whole] = [const { Hasher::new() }; 3];
    /// first.update(b"Wiki");
    /// next.update(b"pedia");
    /// whole.update(b"Wikipedia");
    /// assert_eq!(first.sum().combine(next.sum()), whole.sum());
    /// ```
    pub const fn combine(self, next: Self) -> Self {
        Self {
            checksum: self.checksum.combine(next.checksum, next.length),
            length: self.length + next.length,
        }
    }
}
