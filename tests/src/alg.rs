// SPDX-License-Identifier: GPL-2.0 OR MIT

//! AF_ALG sockets, and the sysctl with which newer kernels restrict them.

use std::fs;
use std::io::IoSlice;
use std::io::IoSliceMut;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;

use nix::sys::socket;
use nix::sys::socket::sockopt::AlgSetKey;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::AlgAddr;
use nix::sys::socket::MsgFlags;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;

const RESTRICTION: &str = "/proc/sys/crypto/af_alg_restrict";

/// An AF_ALG socket bound to a hash, from which operations are accepted.
pub struct Hash(OwnedFd);

/// An operation socket: a message that is being hashed.
pub struct Operation(OwnedFd);

fn new_socket() -> nix::Result<OwnedFd> {
    socket::socket(
        AddressFamily::Alg,
        SockType::SeqPacket,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
}

impl Hash {
    /// Binds to a hash by its name or the name of its driver.
    pub fn bind(name: &str) -> nix::Result<Self> {
        let fd = new_socket()?;
        socket::bind(fd.as_raw_fd(), &AlgAddr::new("hash", name))?;
        Ok(Self(fd))
    }

    /// Binds to the module's hash.
    #[track_caller]
    pub fn adler32() -> Self {
        Self::bind("adler32").expect("bind to adler32")
    }

    /// Sets the key, which is the value that later messages start from.
    pub fn set_key(&self, key: &[u8]) -> nix::Result<()> {
        socket::setsockopt(&self.0, AlgSetKey::default(), &key)
    }

    /// Makes an operation socket.
    #[track_caller]
    pub fn accept(&self) -> Operation {
        self.try_accept().expect("accept")
    }

    /// Makes an operation socket, or fails as `accept(2)` does.
    pub fn try_accept(&self) -> nix::Result<Operation> {
        accept(&self.0)
    }
}

fn accept(fd: &OwnedFd) -> nix::Result<Operation> {
    let fd = socket::accept4(fd.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
    // SAFETY: accept4() has just opened the descriptor, and nothing else owns it.
    Ok(Operation(unsafe { OwnedFd::from_raw_fd(fd) }))
}

impl Operation {
    /// Clones the message.
    #[track_caller]
    pub fn fork(&self) -> Self {
        self.try_fork().expect("accept")
    }

    /// Clones the message, or fails as `accept(2)` does.
    pub fn try_fork(&self) -> nix::Result<Self> {
        accept(&self.0)
    }

    /// Sends the last data of a message.
    pub fn send(&self, data: &[u8]) -> nix::Result<usize> {
        socket::send(self.0.as_raw_fd(), data, MsgFlags::empty())
    }

    /// Sends data of an unfinished message.
    pub fn send_more(&self, data: &[u8]) -> nix::Result<usize> {
        let more = MsgFlags::from_bits_retain(libc::MSG_MORE);
        socket::send(self.0.as_raw_fd(), data, more)
    }

    /// Sends data of an unfinished message. The kernel must take all of it in one call.
    #[track_caller]
    pub fn feed(&self, data: &[u8]) {
        assert_eq!(self.send_more(data), Ok(data.len()));
    }

    /// Sends pieces in one call, which are the last data of a message.
    pub fn send_vectored(&self, pieces: &[IoSlice<'_>]) -> nix::Result<usize> {
        let fd = self.0.as_raw_fd();
        socket::sendmsg::<AlgAddr>(fd, pieces, &[], MsgFlags::empty(), None)
    }

    /// Ends the message and receives its digest into a buffer of `room` bytes. Returns the bytes
    /// received and whether the digest was cut.
    #[track_caller]
    pub fn receive(&self, room: usize) -> (Vec<u8>, bool) {
        let mut buffer = vec![0; room];
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let fd = self.0.as_raw_fd();
        let message =
            socket::recvmsg::<AlgAddr>(fd, &mut slices, None, MsgFlags::empty()).expect("recvmsg");
        let (len, cut) = (message.bytes, message.flags.contains(MsgFlags::MSG_TRUNC));
        buffer.truncate(len);
        (buffer, cut)
    }

    /// Ends the message and returns its checksum.
    #[track_caller]
    pub fn value(&self) -> u32 {
        let (digest, cut) = self.receive(64);
        assert!(!cut, "MSG_TRUNC though the buffer is long enough");
        u32::from_be_bytes(digest.try_into().expect("a digest of 4 bytes"))
    }
}

impl AsFd for Operation {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Returns the level of restriction, or `None` if the kernel has no such sysctl.
pub fn restriction() -> Option<u32> {
    // The module af_alg adds the sysctl. Opening a socket loads the module.
    let _ = new_socket();
    let text = fs::read_to_string(RESTRICTION).ok()?;
    Some(text.trim().parse().expect("a number"))
}

/// A level of restriction that is set until this is dropped.
pub struct Restricted {
    before: u32,
}

impl Restricted {
    /// Sets the level, or returns `None` if the kernel has no such sysctl.
    pub fn to(level: u32) -> Option<Self> {
        let before = restriction()?;
        restrict(level);
        Some(Self { before })
    }
}

impl Drop for Restricted {
    fn drop(&mut self) {
        restrict(self.before);
    }
}

/// Sets the level of restriction for good.
pub fn restrict(level: u32) {
    fs::write(RESTRICTION, level.to_string()).expect("the sysctl is written");
}
