// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The device, `/dev/adler32`.

use std::fs::File;
use std::io;
use std::io::ErrorKind;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::raw::c_int;

use nix::errno::Errno;

use crate::algorithm::Adler32;
use crate::error::failed;
use crate::error::Error;
use crate::error::DEVICE_PATH;
use crate::sum::Sum;
use crate::uapi;

/// The ioctl requests of the device, for callers that make these calls themselves.
pub mod request {
    use crate::uapi::*;
    use ioctl_sys::io;
    use ioctl_sys::ior;
    use ioctl_sys::iorw;
    use ioctl_sys::iow;

    /// Encoded [`NR_RESET`].
    pub const RESET: u32 = io!(IOC_TYPE, NR_RESET);
    /// Encoded [`NR_GET`].
    pub const GET: u32 = ior!(IOC_TYPE, NR_GET, size_of::<State>());
    /// Encoded [`NR_SET`].
    pub const SET: u32 = iow!(IOC_TYPE, NR_SET, size_of::<State>());
    /// Encoded [`NR_UPDATE`].
    pub const UPDATE: u32 = iow!(IOC_TYPE, NR_UPDATE, size_of::<Buffer>());
    /// Encoded [`NR_DIGEST`].
    pub const DIGEST: u32 = iorw!(IOC_TYPE, NR_DIGEST, size_of::<Digest>());
    /// Encoded [`NR_COMBINE`].
    pub const COMBINE: u32 = iow!(IOC_TYPE, NR_COMBINE, size_of::<State>());
    /// Encoded [`NR_INFO`].
    pub const INFO: u32 = ior!(IOC_TYPE, NR_INFO, size_of::<Info>());
}

mod sys {
    use super::request;
    use crate::uapi;
    use ioctl_sys::ioctl;

    ioctl!(bad reset with request::RESET);
    ioctl!(bad read get with request::GET; uapi::State);
    ioctl!(bad write set with request::SET; uapi::State);
    ioctl!(bad write update with request::UPDATE; uapi::Buffer);
    ioctl!(bad read digest with request::DIGEST; uapi::Digest);
    ioctl!(bad write combine with request::COMBINE; uapi::State);
    ioctl!(bad read info with request::INFO; uapi::Info);
}

const MAX_BUFFER: usize = uapi::MAX_BUFFER as usize;

/// A private session of the device: a running checksum that the kernel keeps until the session is
/// dropped.
///
/// Bytes are appended by writing, or by [`Session::update`].
///
/// ```no_run
/// use adler32::Session;
/// use std::io::Write;
///
/// let mut session = Session::open()?;
/// session.write_all(b"Wiki")?;
/// session.update(b"pedia")?;
/// assert_eq!(session.sum()?.checksum.value(), 0x11e6_0398);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Session(File);

/// A description of the module behind the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Version of the ABI of the module. This library has [`uapi::ABI_VERSION`].
    pub abi_version: u32,
    /// Name of the implementation in use.
    pub implementation: String,
    /// Version of the module.
    pub module_version: String,
}

impl Session {
    /// Opens the device. The session starts empty.
    pub fn open() -> Result<Self, Error> {
        let file = File::options()
            .read(true)
            .write(true)
            .open(DEVICE_PATH)
            .map_err(failed(DEVICE_PATH, "open"))?;
        let session = Self(file);
        // Any other file at this path would accept what is written to it.
        match session.info() {
            Err(Error::Kernel { source, .. }) if source.kind() != ErrorKind::PermissionDenied => {
                Err(Error::NotOurDevice)
            }
            Err(error) => Err(error),
            Ok(_) => Ok(session),
        }
    }

    /// Returns the checksum and the number of bytes so far.
    pub fn sum(&self) -> Result<Sum, Error> {
        let mut state = uapi::State::default();
        // SAFETY: `GET` writes one `State`.
        check("GET", unsafe { sys::get(self.fd(), &mut state) })?;
        Ok(Sum {
            checksum: from_kernel("GET", state.value)?,
            length: state.length,
        })
    }

    /// Sets the checksum and the length to those of `sum`, to continue where another session ended.
    /// The length is at most [`uapi::MAX_LENGTH`].
    ///
    /// ```no_run
    /// use adler32::Session;
    ///
    /// let mut first = Session::open()?;
    /// first.update(b"Wiki")?;
    /// let mut second = Session::open()?;
    /// second.set(first.sum()?)?;
    /// second.update(b"pedia")?;
    /// assert_eq!(second.sum()?.checksum.value(), 0x11e6_0398);
    /// # Ok::<(), adler32::Error>(())
    /// ```
    pub fn set(&mut self, sum: Sum) -> Result<(), Error> {
        // SAFETY: `SET` reads one `State`.
        check("SET", unsafe { sys::set(self.fd(), &state(sum)) })
    }

    /// Makes the session empty.
    pub fn reset(&mut self) -> Result<(), Error> {
        // SAFETY: `RESET` does not use its argument.
        check("RESET", unsafe {
            sys::reset(self.fd(), std::ptr::null_mut())
        })
    }

    /// Appends all of `data`. If the call fails, nothing has been appended, or only the beginning
    /// of data that is longer than [`uapi::MAX_BUFFER`].
    pub fn update(&mut self, data: &[u8]) -> Result<(), Error> {
        data.chunks(MAX_BUFFER).try_for_each(|data| {
            let buffer = uapi::Buffer {
                address: address(data),
                length: data.len() as u64,
            };
            // SAFETY: `UPDATE` reads one `Buffer` and the bytes it describes, which `data` borrows.
            check("UPDATE", unsafe { sys::update(self.fd(), &buffer) })
        })
    }

    /// Returns the checksum of the bytes that `start` covers followed by `data`. The session is
    /// neither read nor changed.
    ///
    /// ```no_run
    /// use adler32::Adler32;
    /// use adler32::Session;
    ///
    /// let session = Session::open()?;
    /// assert_eq!(session.digest(Adler32::EMPTY, b"abc")?.value(), 0x024d_0127);
    /// # Ok::<(), adler32::Error>(())
    /// ```
    pub fn digest(&self, start: Adler32, data: &[u8]) -> Result<Adler32, Error> {
        data.chunks(MAX_BUFFER).try_fold(start, |start, data| {
            let mut digest = uapi::Digest {
                address: address(data),
                length: data.len() as u64,
                value: start.value(),
                reserved: 0,
            };
            // SAFETY: `DIGEST` reads and writes one `Digest` and reads the bytes it describes,
            // which `data` borrows.
            check("DIGEST", unsafe { sys::digest(self.fd(), &mut digest) })?;
            from_kernel("DIGEST", digest.value)
        })
    }

    /// Appends a part by its checksum and length, without its bytes.
    pub fn combine(&mut self, part: Sum) -> Result<(), Error> {
        // SAFETY: `COMBINE` reads one `State`.
        check("COMBINE", unsafe { sys::combine(self.fd(), &state(part)) })
    }

    /// Returns a description of the module behind the device.
    pub fn info(&self) -> Result<Info, Error> {
        let mut info = uapi::Info::default();
        // SAFETY: `INFO` writes one `Info`.
        check("INFO", unsafe { sys::info(self.fd(), &mut info) })?;
        Ok(Info {
            abi_version: info.abi_version,
            implementation: text(&info.implementation),
            module_version: text(&info.module_version),
        })
    }

    fn fd(&self) -> c_int {
        self.0.as_raw_fd()
    }
}

impl Write for Session {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn check(call: &'static str, result: c_int) -> Result<(), Error> {
    let result = Errno::result(result).map(drop);
    result.map_err(failed(DEVICE_PATH, call))
}

fn from_kernel(call: &'static str, value: u32) -> Result<Adler32, Error> {
    let impossible = || failed(DEVICE_PATH, call)(ErrorKind::InvalidData);
    Adler32::from_value(value).ok_or_else(impossible)
}

fn state(sum: Sum) -> uapi::State {
    uapi::State {
        value: sum.checksum.value(),
        reserved: 0,
        length: sum.length,
    }
}

fn address(data: &[u8]) -> u64 {
    data.as_ptr() as usize as u64
}

/// Returns the text before the first NUL.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_of_the_abi() {
        let name = uapi::DEVICE_NAME.to_str().expect("ASCII");
        assert_eq!(DEVICE_PATH, format!("/dev/{name}"));
    }
}
