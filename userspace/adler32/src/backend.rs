// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The backends behind one interface of functions.

use std::fmt;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;

use nix::sys::stat;
use nix::unistd;

use crate::af_alg::AfAlg;
use crate::algorithm::Adler32;
use crate::error::failed;
use crate::error::Error;
use crate::error::DEVICE_PATH;
use crate::file;
use crate::file::Options;
use crate::hasher::Hasher;
use crate::session::Session;
use crate::sum::Sum;
use crate::transfer;
use crate::transfer::Call;

/// What computes the checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendKind {
    /// The device. The data is written to it, or the kernel sends the data to it.
    Device,
    /// The UPDATE ioctl of the device.
    Ioctl,
    /// An AF_ALG socket.
    AfAlg,
    /// The processor, without the kernel.
    Cpu,
}

impl BackendKind {
    /// All backends.
    pub const ALL: [Self; 4] = [Self::Device, Self::Ioctl, Self::AfAlg, Self::Cpu];

    /// Returns the name that users type.
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
    /// Opens a backend of this kind.
    pub fn open(kind: BackendKind) -> Result<Self, Error> {
        Ok(match kind {
            BackendKind::Device => Self::Device(Session::open()?),
            BackendKind::Ioctl => Self::Ioctl(Session::open()?),
            BackendKind::AfAlg => Self::AfAlg(AfAlg::open()?),
            BackendKind::Cpu => Self::Cpu(Hasher::new()),
        })
    }

    /// Opens the device, or returns the processor if that fails. AF_ALG is not tried, because
    /// looking for the algorithm there can load modules.
    pub fn first() -> Self {
        Self::open(BackendKind::Device).unwrap_or(Self::Cpu(Hasher::new()))
    }

    /// Returns the kind of this backend.
    pub const fn kind(&self) -> BackendKind {
        match self {
            Self::Device(_) => BackendKind::Device,
            Self::Ioctl(_) => BackendKind::Ioctl,
            Self::AfAlg(_) => BackendKind::AfAlg,
            Self::Cpu(_) => BackendKind::Cpu,
        }
    }

    /// Reads `data` to its end and returns its checksum, which does not depend on earlier calls.
    ///
    /// [`Error::Read`] is a failure of `data`; all other errors are failures of the backend.
    /// [`Backend::checksum_file`] is faster for an open file, and [`Backend::checksum_bytes`] for
    /// bytes in memory.
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
        let length = self.read_rest(Options::default(), |buffer| data.read(buffer))?;
        self.finish(length)
    }

    /// Returns the checksum of `data`, which does not depend on earlier calls.
    ///
    /// The device and AF_ALG read the bytes in place.
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
            // One call instead of three.
            let checksum = session.digest(Adler32::EMPTY, data)?;
            return Ok(Sum { checksum, length });
        }
        self.reset()?;
        self.update(data)?;
        self.finish(length)
    }

    /// Reads `file` from its position to its end and returns the checksum, which does not depend on
    /// earlier calls.
    ///
    /// If the kernel can send the bytes of a file or a pipe to the backend without a copy in this
    /// process, it does. The processor reads the file as [`file::checksum()`] does; only the
    /// processor uses more than one of the threads in `options`.
    ///
    /// Afterward, the position is at the end of the file, also for all duplicates of the
    /// descriptor. Bytes that a buffered reader such as [`io::Stdin`] has already read are not
    /// summed. If others change the file at the same time, the sum covers the bytes that were
    /// found.
    ///
    /// [`Error::Read`] is a failure of `file`; all other errors are failures of the backend.
    ///
    /// ```
    /// use adler32::file::Options;
    /// use adler32::Backend;
    /// use std::fs::File;
    ///
    /// let file = File::open("/proc/self/cmdline")?;
    /// let sum = Backend::first().checksum_file(&file, Options::default())?;
    /// assert!(sum.length > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn checksum_file(&mut self, file: impl AsFd, options: Options<'_>) -> Result<Sum, Error> {
        let file = file.as_fd();
        if let Self::Cpu(_) = self {
            return file::checksum(file, options);
        }
        let stat = stat::fstat(file).map_err(|errno| Error::Read(errno.into()))?;
        self.reset()?;
        let sent = match transfer::choose(&stat) {
            Some(call) => self.send(file, call, options)?,
            None => 0,
        };
        // Whether or not the kernel sent bytes, a read finds the end of the file. Its failure is a
        // failure of the file, where a failure to send could also be one of the backend.
        let read = self.read_rest(options, |buffer| Ok(unistd::read(file, buffer)?))?;
        self.finish(sent + read)
    }

    /// Has the kernel append bytes of `file` until it sends no more. Returns how many it sent.
    fn send(
        &mut self,
        file: BorrowedFd<'_>,
        call: Call,
        options: Options<'_>,
    ) -> Result<u64, Error> {
        let mut length = 0;
        loop {
            let sent = match self {
                Self::Device(session) => transfer::send(file, &*session, call),
                Self::AfAlg(hash) => hash.send(file, call)?,
                // The UPDATE ioctl takes bytes from a buffer only.
                Self::Ioctl(_) | Self::Cpu(_) => 0,
            };
            if sent == 0 {
                return Ok(length);
            }
            length += sent as u64;
            if let Some(progress) = options.progress {
                progress(sent as u64);
            }
        }
    }

    /// Appends the bytes that `read` finds. Returns their number.
    fn read_rest(
        &mut self,
        options: Options<'_>,
        read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> Result<u64, Error> {
        file::read_all(options, read, |piece| self.update(piece))
    }

    /// Returns the checksum of the bytes so far. Their number is `length`.
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
                .map_err(failed(DEVICE_PATH, "write")),
            Self::Ioctl(session) => session.update(data),
            Self::AfAlg(hash) => hash.update(data),
            Self::Cpu(hasher) => {
                hasher.update(data);
                Ok(())
            }
        }
    }
}
