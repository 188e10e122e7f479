// SPDX-License-Identifier: GPL-2.0 OR MIT

//! One way to checksum over any backend.

use std::fmt;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;

use nix::sys::stat;
use nix::unistd;

use crate::file;
use crate::session;
use crate::transfer;
use crate::transfer::Call;
use crate::Adler32;
use crate::AfAlg;
use crate::Error;
use crate::Hasher;
use crate::Session;
use crate::Sum;

/// A way to compute the checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendKind {
    /// What is written to the device, or sent to it by the kernel.
    Device,
    /// The UPDATE ioctl of the device.
    Ioctl,
    /// An AF_ALG socket.
    AfAlg,
    /// The processor, without the kernel.
    Cpu,
}

impl BackendKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Device, Self::Ioctl, Self::AfAlg, Self::Cpu];

    /// The name by which users know it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Ioctl => "ioctl",
            Self::AfAlg => "afalg",
            Self::Cpu => "cpu",
        }
    }
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// An open backend.
#[derive(Debug)]
pub enum Backend {
    /// See [`BackendKind::Device`].
    Device(Session),
    /// See [`BackendKind::Ioctl`].
    Ioctl(Session),
    /// See [`BackendKind::AfAlg`].
    AfAlg(AfAlg),
    /// See [`BackendKind::Cpu`].
    Cpu(Hasher),
}

impl Backend {
    /// Opens the backend asked for.
    pub fn open(via: BackendKind) -> Result<Self, Error> {
        Ok(match via {
            BackendKind::Device => Self::Device(Session::open()?),
            BackendKind::Ioctl => Self::Ioctl(Session::open()?),
            BackendKind::AfAlg => Self::AfAlg(AfAlg::open()?),
            BackendKind::Cpu => Self::Cpu(Hasher::new()),
        })
    }

    /// Opens the device, or takes the processor if that fails. AF_ALG is not tried: to look for the
    /// algorithm there can load modules.
    pub fn first() -> Self {
        Self::open(BackendKind::Device).unwrap_or(Self::Cpu(Hasher::new()))
    }

    /// Tells which backend it is.
    pub const fn kind(&self) -> BackendKind {
        match self {
            Self::Device(_) => BackendKind::Device,
            Self::Ioctl(_) => BackendKind::Ioctl,
            Self::AfAlg(_) => BackendKind::AfAlg,
            Self::Cpu(_) => BackendKind::Cpu,
        }
    }

    /// Reads `data` to its end and returns its checksum, independent of what was summed before.
    ///
    /// [`Error::Read`] is a failure of `data`, all others are failures of the backend. For an open file,
    /// [`Backend::checksum_file`] is faster, and for bytes in memory [`Backend::checksum_bytes`].
    ///
    /// ```
    /// use adler32::Backend;
    /// use std::io;
    /// use std::io::Read;
    ///
    /// let stream = io::repeat(b'a').take(1_000_000);
    /// let sum = Backend::first().checksum(stream)?;
    /// assert_eq!(sum.length, 1_000_000);
    /// # Ok::<(), adler32::Error>(())
    /// ```
    pub fn checksum(&mut self, mut data: impl Read) -> Result<Sum, Error> {
        self.reset()?;
        let length = self.read_rest(|buffer| data.read(buffer))?;
        self.finish(length)
    }

    /// Returns the checksum of `data`, independent of what was summed before.
    ///
    /// The device and AF_ALG read them where they lie.
    ///
    /// ```
    /// use adler32::Backend;
    ///
    /// let sum = Backend::first().checksum_bytes(b"Wikipedia")?;
    /// assert_eq!(sum.checksum.value(), 0x11e6_0398);
    /// # Ok::<(), adler32::Error>(())
    /// ```
    pub fn checksum_bytes(&mut self, data: &[u8]) -> Result<Sum, Error> {
        let length = data.len() as u64;
        if let Self::Ioctl(session) = self {
            // One call in place of three.
            let checksum = session.digest(Adler32::EMPTY, data)?;
            return Ok(Sum { checksum, length });
        }
        self.reset()?;
        self.update(data)?;
        self.finish(length)
    }

    /// Reads `file` from its position to its end and returns the checksum, independent of what was
    /// summed before.
    ///
    /// As after reading, the position is then at the end, and so it is for all who share it. Nothing
    /// is seen of what a buffer over the file, like that of [`io::Stdin`], holds already. Where the
    /// kernel can take the bytes from a file or a pipe to the backend by itself, it does; the processor
    /// reads them as [`file::checksum()`] does, by as many threads as there are processors. The
    /// checksum of a file that others change meanwhile is that of the bytes which were found; the
    /// length is their number.
    ///
    /// [`Error::Read`] is a failure of `file`, all others are failures of the backend.
    ///
    /// ```
    /// use adler32::Backend;
    /// use std::fs::File;
    ///
    /// let file = File::open("/proc/self/cmdline")?;
    /// let sum = Backend::first().checksum_file(&file)?;
    /// assert!(sum.length > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn checksum_file(&mut self, file: impl AsFd) -> Result<Sum, Error> {
        let file = file.as_fd();
        if let Self::Cpu(_) = self {
            return file::checksum(file, None);
        }
        let stat = stat::fstat(file).map_err(|errno| Error::Read(errno.into()))?;
        self.reset()?;
        let sent = match transfer::choose(self.kind(), &stat) {
            Some(call) => self.send(file, call)?,
            None => 0,
        };
        // Only a read tells the end of a file from what the kernel does not send, and what fails in
        // reading from what fails in the backend.
        let read = self.read_rest(|buffer| Ok(unistd::read(file, buffer)?))?;
        self.finish(sent + read)
    }

    /// Has the kernel append the bytes of `file`, until it moves no more of them. Returns how many
    /// it moved.
    fn send(&mut self, file: BorrowedFd<'_>, call: Call) -> Result<u64, Error> {
        let mut length = 0;
        loop {
            let sent = match self {
                Self::Device(session) => transfer::send(file, &*session, call),
                Self::AfAlg(hash) => hash.send(file, call)?,
                Self::Ioctl(_) | Self::Cpu(_) => unreachable!("nothing is sent to {}", self.kind()),
            };
            if sent == 0 {
                return Ok(length);
            }
            length += sent as u64;
            file::count(sent as u64);
        }
    }

    /// Appends what `read` finds. Returns the number of bytes.
    fn read_rest(
        &mut self,
        read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> Result<u64, Error> {
        file::read_all(read, |piece| self.update(piece))
    }

    /// Returns the checksum of all bytes so far, which are `length`.
    fn finish(&mut self, length: u64) -> Result<Sum, Error> {
        let checksum = match self {
            Self::Device(session) | Self::Ioctl(session) => session.sum()?.checksum,
            Self::AfAlg(hash) => hash.digest()?,
            Self::Cpu(hasher) => hasher.sum().checksum,
        };
        Ok(Sum { checksum, length })
    }

    fn reset(&mut self) -> Result<(), Error> {
        match self {
            Self::Device(session) | Self::Ioctl(session) => session.reset(),
            Self::AfAlg(hash) => hash.reset(),
            Self::Cpu(hasher) => {
                *hasher = Hasher::new();
                Ok(())
            }
        }
    }

    fn update(&mut self, data: &[u8]) -> Result<(), Error> {
        match self {
            Self::Device(session) => session
                .write_all(data)
                .map_err(|source| session::failed("write", source)),
            Self::Ioctl(session) => session.update(data),
            Self::AfAlg(hash) => hash.update(data),
            Self::Cpu(hasher) => {
                hasher.update(data);
                Ok(())
            }
        }
    }
}
