// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Adler-32 (RFC 1950), computed by the processor or by the `adler32` kernel module.
//!
//! # Bytes
//!
//! In one call, or piece by piece:
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
//! A [`Hasher`] implements [`std::io::Write`], so [`std::io::copy`] can write to it. For gigabytes
//! in memory, [`processor::update_parallel()`] uses several threads.
//!
//! # Files
//!
//! The calling thread sums a short file alone. A long file is summed by one thread per processor,
//! unless the options name another number:
//!
//! ```
//! use adler32::file;
//! use std::fs::File;
//!
//! let sum = file::checksum(File::open("Cargo.toml")?, file::Options::default())?;
//! println!("{:08x}, {} bytes", sum.checksum.value(), sum.length);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Parts
//!
//! [`Sum::combine`] computes the checksum of a whole from the checksums of its parts, without
//! reading a byte again. The parts may come from other computers. [`file::checksum_range`] sums a
//! part of a file.
//!
//! ```
//! use adler32::Adler32;
//! use adler32::Sum;
//!
//! // from_value() refuses a number that is the checksum of no data.
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
//! A [`Backend`] sums through the device `/dev/adler32`, through an AF_ALG socket of the kernel's
//! crypto API, or on the processor:
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
//! [`Session`] and [`AfAlg`] are the two kernel interfaces themselves. [`uapi`] contains the names,
//! numbers and structures that the module shares with its users.

#![warn(missing_docs)]

mod af_alg;
mod backend;
mod error;
mod hasher;
mod session;
mod sum;
mod threads;
mod transfer;

pub mod file;
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
pub use self::error::AF_ALG;
pub use self::error::DEVICE_PATH;
pub use self::hasher::Hasher;
pub use self::session::request;
pub use self::session::Info;
pub use self::session::Session;
pub use self::sum::Sum;
