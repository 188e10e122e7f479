// SPDX-License-Identifier: GPL-2.0 OR MIT

//! AF_ALG sockets of the kernel's crypto API.

use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket;
use nix::sys::socket::sockopt::AlgSetKey;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::AlgAddr;
use nix::sys::socket::MsgFlags;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;

use crate::algorithm::Adler32;
use crate::error::failed;
use crate::error::Error;
use crate::error::AF_ALG;
use crate::sum::Sum;
use crate::transfer;
use crate::transfer::Call;
use crate::uapi;

/// The driver name of the module's algorithm in the kernel's crypto API.
///
/// [`AfAlg`] binds to this name rather than to `adler32`. Another module may provide `adler32` with
/// a higher priority and a digest in another byte order.
pub const DRIVER_NAME: &str = match uapi::DRIVER_NAME.to_str() {
    Ok(name) => name,
    Err(_) => panic!("the name is ASCII"),
};

/// A running checksum that the kernel's crypto API keeps.
///
/// Linux has deprecated AF_ALG since 7.2. New programs should use [`Session`](crate::Session).
///
/// ```no_run
/// use adler32::AfAlg;
///
/// let mut hash = AfAlg::open()?;
/// hash.update(b"Wiki")?;
/// hash.update(b"pedia")?;
/// assert_eq!(hash.digest()?.value(), 0x11e6_0398);
/// # Ok::<(), adler32::Error>(())
/// ```
#[derive(Debug)]
pub struct AfAlg {
    algorithm: OwnedFd,
    operation: OwnedFd,
}

impl AfAlg {
    /// Opens the algorithm. The kernel loads the module if it is not loaded yet.
    pub fn open() -> Result<Self, Error> {
        Self::accept(bind()?)
    }

    /// Opens the algorithm with the checksum of earlier bytes, from which every checksum then
    /// starts.
    ///
    /// ```no_run
    /// use adler32::processor;
    /// use adler32::Adler32;
    /// use adler32::AfAlg;
    ///
    /// let start = processor::update(Adler32::EMPTY, b"Wiki");
    /// let mut hash = AfAlg::open_from(start)?;
    /// hash.update(b"pedia")?;
    /// assert_eq!(hash.digest()?.value(), 0x11e6_0398);
    /// # Ok::<(), adler32::Error>(())
    /// ```
    pub fn open_from(start: Adler32) -> Result<Self, Error> {
        let algorithm = bind()?;
        socket::setsockopt(&algorithm, AlgSetKey::default(), &start.to_be_bytes())
            .map_err(failed(AF_ALG, "setsockopt"))?;
        Self::accept(algorithm)
    }

    /// Appends `data`.
    pub fn update(&mut self, data: &[u8]) -> Result<(), Error> {
        let more = MsgFlags::from_bits_retain(libc::MSG_MORE);
        for data in data.chunks(transfer::MOST) {
            let sent = loop {
                match socket::send(self.operation.as_raw_fd(), data, more) {
                    Err(Errno::EINTR) => {}
                    sent => break sent.map_err(failed(AF_ALG, "send"))?,
                }
            };
            // If the kernel fails in the middle, it returns a short count and drops the checksum.
            if sent < data.len() {
                return Err(failed(AF_ALG, "send")(Errno::EIO));
            }
        }
        Ok(())
    }

    /// Returns the checksum of the bytes so far and starts again.
    pub fn digest(&mut self) -> Result<Adler32, Error> {
        let mut digest = [0; 4];
        let len = socket::recv(self.operation.as_raw_fd(), &mut digest, MsgFlags::empty())
            .map_err(failed(AF_ALG, "recv"))?;
        Adler32::from_be_bytes(digest)
            .filter(|_| len == digest.len())
            .ok_or_else(|| failed(AF_ALG, "recv")(Errno::EBADMSG))
    }

    /// Drops the bytes so far and starts again.
    pub fn reset(&mut self) -> Result<(), Error> {
        self.operation = accept(&self.algorithm)?;
        Ok(())
    }

    /// Has the kernel append bytes of `file`, as [`transfer::send`] does. If the file cannot be
    /// sent, the checksum so far is kept: the socket fails only if memory is short, before it takes
    /// a byte.
    pub(crate) fn send(
        &mut self,
        file: BorrowedFd<'_>,
        call: Call,
        at: Option<u64>,
        most: usize,
    ) -> Result<usize, Error> {
        let sent = transfer::send(file, &self.operation, call, at, most);
        // `sendfile` ends the message with the last byte that it was asked for. The next bytes go
        // into another message, which starts from the checksum of this one.
        if sent == most && call == Call::Sendfile {
            self.combine(Sum::EMPTY)?;
        }
        Ok(sent)
    }

    /// Appends a part by its checksum and length, without its bytes.
    pub(crate) fn combine(&mut self, part: Sum) -> Result<(), Error> {
        let start = self.digest()?.combine(part.checksum, part.length);
        self.operation = Self::open_from(start)?.operation;
        Ok(())
    }

    fn accept(algorithm: OwnedFd) -> Result<Self, Error> {
        let operation = accept(&algorithm)?;
        Ok(Self {
            algorithm,
            operation,
        })
    }
}

fn socket() -> Result<OwnedFd, Error> {
    socket::socket(
        AddressFamily::Alg,
        SockType::SeqPacket,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .map_err(failed(AF_ALG, "socket"))
}

fn bind() -> Result<OwnedFd, Error> {
    let socket = socket()?;
    let address = AlgAddr::new("hash", DRIVER_NAME);
    socket::bind(socket.as_raw_fd(), &address).map_err(failed(AF_ALG, "bind"))?;
    Ok(socket)
}

fn accept(algorithm: &OwnedFd) -> Result<OwnedFd, Error> {
    let fd = socket::accept4(algorithm.as_raw_fd(), SockFlag::SOCK_CLOEXEC)
        .map_err(failed(AF_ALG, "accept"))?;
    // SAFETY: `accept4` has just returned the descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
