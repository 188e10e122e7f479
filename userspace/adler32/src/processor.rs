// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The checksum of bytes in memory, on the processor.
//!
//! ```
//! use adler32::processor;
//! use adler32::Adler32;
//!
//! let checksum = processor::update(Adler32::EMPTY, b"Wikipedia");
//! for implementation in processor::runnable() {
//!     let same = implementation.update(Adler32::EMPTY, b"Wikipedia");
//!     assert_eq!(same, checksum, "{}", implementation.name());
//! }
//! ```

mod parallel;
mod platform;
mod streamed;

pub use self::parallel::update_parallel;
pub use self::parallel::PARALLEL_FROM;
pub use self::platform::fastest;
pub use self::platform::runnable;
pub use self::platform::sum;
pub use self::platform::update;
pub use self::platform::Processor;
