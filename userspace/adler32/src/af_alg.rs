// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The kernel's crypto API, by AF_ALG sockets.

use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::os::raw::c_int;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket;
use nix::sys::socket::sockopt::AlgSetKey;
use nix::sys::socket::AddressFamily;
use nix::sys::socket::AlgAddr;
use nix::sys::socket::MsgFlags;
use nix::sys::socket::SockFlag;
use nix::sys::socket::SockType;

use crate::host;
use crate::host::Module;
use crate::host::State;
use crate::text;
use crate::transfer;
use crate::transfer::Call;
use crate::uapi;
use crate::Adler32;
use crate::Error;

/// The driver name of this module's algorithm in the kernel's crypto API.
///
/// [`AfAlg`] binds to it rather than to `adler32`: where another module serves that name with a
/// higher priority, its digest may be in another byte order.
pub const DRIVER_NAME: &str = text(uapi::DRIVER_NAME);

/// The module that lets AF_ALG take hashes.
const HASHES: &str = "algif_hash";

/// A running checksum, kept by the kernel's crypto API.
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
    /// Opens the algorithm, which loads the module if need be.
    pub fn open() -> Result<Self, Error> {
        Self::accept(bind()?)
    }

    /// Opens the algorithm with the value that every checksum starts from: that of bytes which were
    /// summed before.
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
            .map_err(failed("setsockopt"))?;
        Self::accept(algorithm)
    }

    /// Finds out whether AF_ALG has the algorithm as things are: the kernel loads nothing for it.
    pub fn probe() -> Result<(), Error> {
        if is_filtered() {
            return Err(Error::AfAlgFiltered);
        }
        if !host::has_af_alg() {
            return Err(idle_or_absent(missing_module()));
        }
        if let Some(level @ 1..) = host::af_alg_restrict() {
            return Err(Error::AfAlgRestricted(level));
        }
        let module = Module::find(host::MODULE_NAME);
        if !module.is_loaded() {
            return Err(Error::AlgorithmMissing(module));
        }
        let hashes = Module::find(HASHES);
        match hashes.state {
            // What is part of the kernel need not be listed anywhere.
            State::Loaded | State::NotInstalled => Self::open().map(drop),
            _ => Err(idle_or_absent(hashes)),
        }
    }

    /// Appends `data`.
    pub fn update(&mut self, data: &[u8]) -> Result<(), Error> {
        let more = MsgFlags::from_bits_retain(libc::MSG_MORE);
        for data in data.chunks(transfer::MOST) {
            let sent = loop {
                match socket::send(self.operation.as_raw_fd(), data, more) {
                    Err(Errno::EINTR) => {}
                    sent => break sent.map_err(failed("send"))?,
                }
            };
            // The kernel returns a short count if it fails in the middle, and forgets all before.
            if sent < data.len() {
                return Err(failed("send")(Errno::EIO));
            }
        }
        Ok(())
    }

    /// Returns the checksum of the bytes so far and starts anew.
    pub fn digest(&mut self) -> Result<Adler32, Error> {
        let mut digest = [0; 4];
        let len = socket::recv(self.operation.as_raw_fd(), &mut digest, MsgFlags::empty())
            .map_err(failed("recv"))?;
        if len != digest.len() {
            return Err(failed("recv")(Errno::EBADMSG));
        }
        Adler32::from_be_bytes(digest).ok_or_else(|| failed("recv")(Errno::EBADMSG))
    }

    /// Drops the bytes so far and starts anew.
    pub fn reset(&mut self) -> Result<(), Error> {
        self.operation = accept(&self.algorithm)?;
        Ok(())
    }

    /// Has the kernel append bytes of `file`, as [`transfer::send`] does. If the file cannot be sent,
    /// the bytes so far are kept: the socket itself fails only for want of memory, before the first.
    pub(crate) fn send(&mut self, file: BorrowedFd<'_>, call: Call) -> Result<usize, Error> {
        let sent = transfer::send(file, &self.operation, call);
        // `sendfile` marks all bytes but the last that it was asked for as followed by more. So the
        // kernel has ended the message, and the rest makes another, which starts from its checksum.
        if sent == transfer::MOST && call == Call::Sendfile {
            let start = self.digest()?;
            self.operation = Self::open_from(start)?.operation;
        }
        Ok(sent)
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
    .map_err(|errno| match (errno, host::af_alg_restrict()) {
        _ if is_filtered() => Error::AfAlgFiltered,
        (Errno::EAFNOSUPPORT, Some(level @ 2..)) => Error::AfAlgRestricted(level),
        (Errno::EAFNOSUPPORT, _) => Error::AfAlgAbsent(missing_module()),
        (Errno::EPERM | Errno::EACCES, _) => Error::AfAlgBlocked,
        _ => failed("socket")(errno),
    })
}

/// Whether a seccomp filter refuses AF_ALG sockets. For a type that does not exist, the kernel itself
/// answers EINVAL, and does so before it looks for the family, for which it may load a module.
fn is_filtered() -> bool {
    const NO_TYPE: c_int = 15;
    // SAFETY: The call takes no pointers.
    let made = unsafe { libc::socket(libc::AF_ALG, NO_TYPE, 0) };
    Errno::result(made) != Err(Errno::EINVAL)
}

/// Says what it means that a module which nobody has asked for yet is not loaded.
fn idle_or_absent(module: Module) -> Error {
    match module.state {
        State::NotLoaded => Error::AfAlgIdle(module),
        _ => Error::AfAlgAbsent(module),
    }
}

/// Returns the module for want of which AF_ALG takes no hashes. To load [`HASHES`] loads the other.
fn missing_module() -> Module {
    let family = Module::find("af_alg");
    match family.state {
        State::Loaded | State::NotLoaded => Module::find(HASHES),
        _ => family,
    }
}

fn bind() -> Result<OwnedFd, Error> {
    let socket = socket()?;
    let address = AlgAddr::new("hash", DRIVER_NAME);
    match socket::bind(socket.as_raw_fd(), &address) {
        Ok(()) => Ok(socket),
        Err(Errno::ENOENT) => Err(match host::af_alg_restrict() {
            // The restriction answers as if the algorithm did not exist.
            Some(level @ 1..) => Error::AfAlgRestricted(level),
            _ => match Module::find(host::MODULE_NAME) {
                module if module.is_loaded() => Error::AfAlgAbsent(Module::find(HASHES)),
                module => Error::AlgorithmMissing(module),
            },
        }),
        Err(Errno::EPERM | Errno::EACCES) => Err(Error::AfAlgBlocked),
        Err(errno) => Err(failed("bind")(errno)),
    }
}

fn accept(algorithm: &OwnedFd) -> Result<OwnedFd, Error> {
    let fd =
        socket::accept4(algorithm.as_raw_fd(), SockFlag::SOCK_CLOEXEC).map_err(failed("accept"))?;
    // SAFETY: The descriptor is new and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn failed(call: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::Kernel {
        backend: "AF_ALG",
        call,
        source: errno.into(),
    }
}
