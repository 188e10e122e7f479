// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What can fail.

use std::fmt;
use std::io;

/// The device, by its path.
pub const DEVICE_PATH: &str = "/dev/adler32";

/// The sockets of the kernel's crypto API, by the name of their address family.
pub const AF_ALG: &str = "AF_ALG";

/// Why a checksum could not be computed.
///
/// ```
/// use adler32::Error;
/// use adler32::DEVICE_PATH;
/// use std::io;
///
/// let error = Error::Kernel {
///     interface: DEVICE_PATH,
///     call: "open",
///     source: io::Error::from_raw_os_error(2),
/// };
/// assert_eq!(error.to_string(), "/dev/adler32: open: No such file or directory");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The data could not be read.
    Read(io::Error),
    /// The file at [`DEVICE_PATH`] is not the device of the module.
    NotOurDevice,
    /// A call to the kernel module failed.
    Kernel {
        /// The interface: [`DEVICE_PATH`] or [`AF_ALG`](crate::AF_ALG).
        interface: &'static str,
        /// The call that failed.
        call: &'static str,
        /// How it failed.
        source: io::Error,
    },
}

/// Returns the function that makes an [`Error::Kernel`] of the failure of a call.
pub(crate) fn failed<E: Into<io::Error>>(
    interface: &'static str,
    call: &'static str,
) -> impl Fn(E) -> Error {
    move |source| Error::Kernel {
        interface,
        call,
        source: source.into(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(source) => f.write_str(&describe(source)),
            Self::NotOurDevice => write!(f, "{DEVICE_PATH}: not the device of module adler32"),
            Self::Kernel {
                interface,
                call,
                source,
            } => write!(f, "{interface}: {call}: {}", describe(source)),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(source) | Self::Kernel { source, .. } => Some(source),
            Self::NotOurDevice => None,
        }
    }
}

/// Returns the text of an error as C programs print it, without the " (os error N)" of Rust.
pub fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(code) => text.replace(&format!(" (os error {code})"), ""),
        None => text,
    }
}
