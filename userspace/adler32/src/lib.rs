// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Adler-32 (RFC 1950), computed by the processor or by the `adler32` kernel module.
//!
//! # Bytes
//!
//! All at once, or piece by piece:
//!
//! ```
//! use adler32::processor;
//! use adler32::Adler32;
//! use adler32::Hasher;
//!
//! let checksum = processor::update(Adler32::EMPTY, b"Wikipedia");
//! assert_eq!(checksum.value(), 0x11e6_0398);
//!
//! let mut hasher = Hasher::new();
//! hasher.update(b"Wiki");
//! hasher.update(b"pedia");
//! assert_eq!(hasher.sum().checksum, checksum);
//! assert_eq!(hasher.sum().length, 9);
//! ```
//!
//! A [`Hasher`] can also be written to, as by [`std::io::copy`]. For gigabytes in memory there is
//! [`processor::update_parallel()`].
//!
//! # Files
//!
//! A short file is summed by the calling thread, a long one by as many as there are processors, or
//! as many as are asked for:
//!
//! ```
//! use adler32::file;
//! use std::fs::File;
//!
//! let sum = file::checksum(File::open("Cargo.toml")?, None)?;
//! println!("{:08x}, {} bytes", sum.checksum.value(), sum.length);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Parts
//!
//! Sums of parts, wherever they were computed, make the sum of the whole, and no byte is read again:
//! [`Sum::combine`]. [`file::checksum_range`] sums a part of a file.
//!
//! ```
//! use adler32::Adler32;
//! use adler32::Sum;
//!
//! // As it came from another machine: from_value refuses what no data can have.
//! let part = |value, length| Sum {
//!     checksum: Adler32::from_value(value).expect("an Adler-32 checksum"),
//!     length,
//! };
//! let whole = part(0x03da_0195, 4).combine(part(0x0628_0204, 5));
//! assert_eq!(whole, part(0x11e6_0398, 9));
//! ```
//!
//! # The kernel
//!
//! A [`Backend`] sums over the backend that is asked for: the device `/dev/adler32`, an AF_ALG socket
//! of the kernel's crypto API, or the processor. A backend that does not open says why and how to mend
//! it, see [`Error`]:
//!
//! ```
//! use adler32::Backend;
//! use adler32::BackendKind;
//!
//! let mut backend = Backend::open(BackendKind::Device).or_else(|error| {
//!     eprintln!("{error}");
//!     Backend::open(BackendKind::Cpu)
//! })?;
//! let sum = backend.checksum(&b"Wikipedia"[..])?;
//! assert_eq!(sum.checksum.value(), 0x11e6_0398);
//! # Ok::<(), adler32::Error>(())
//! ```
//!
//! The backends themselves are [`Session`] and [`AfAlg`]; [`host`] tells what there is of the module,
//! and [`uapi`] is what the module and its users agree on.

#![warn(missing_docs)]

use std::ffi::CStr;

mod af_alg;
mod backend;
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
pub use self::backend::Backend;
pub use self::backend::BackendKind;
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
