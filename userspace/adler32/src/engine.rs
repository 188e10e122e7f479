// SPDX-License-Identifier: GPL-2.0 OR MIT

//! One way to checksum over any door.

use std::fmt;
use std::io;
use std::io::Read;
use std::io::Write;

use crate::session;
use crate::AfAlg;
use crate::Error;
use crate::Hasher;
use crate::Session;
use crate::Sum;

/// How much is read and handed on at a time, in bytes.
const BUFFER_LEN: usize = 128 * 1024;

/// A door to the checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// `write(2)` to the device.
    Device,
    /// The UPDATE ioctl of the device.
    Ioctl,
    /// An AF_ALG socket.
    AfAlg,
    /// The processor, without the kernel.
    Cpu,
}

impl Via {
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

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// An open door.
#[derive(Debug)]
pub enum Engine {
    /// See [`Via::Device`].
    Device(Session),
    /// See [`Via::Ioctl`].
    Ioctl(Session),
    /// See [`Via::AfAlg`].
    AfAlg(AfAlg),
    /// See [`Via::Cpu`].
    Cpu(Hasher),
}

impl Engine {
    /// Opens the door asked for.
    pub fn open(via: Via) -> Result<Self, Error> {
        Ok(match via {
            Via::Device => Self::Device(Session::open()?),
            Via::Ioctl => Self::Ioctl(Session::open()?),
            Via::AfAlg => Self::AfAlg(AfAlg::open()?),
            Via::Cpu => Self::Cpu(Hasher::new()),
        })
    }

    /// Opens the first door that works of the device, AF_ALG and the processor, the last of which
    /// always does.
    pub fn first() -> Self {
        [Via::Device, Via::AfAlg]
            .into_iter()
            .find_map(|via| Self::open(via).ok())
            .unwrap_or(Self::Cpu(Hasher::new()))
    }

    /// Tells which door it is.
    pub const fn via(&self) -> Via {
        match self {
            Self::Device(_) => Via::Device,
            Self::Ioctl(_) => Via::Ioctl,
            Self::AfAlg(_) => Via::AfAlg,
            Self::Cpu(_) => Via::Cpu,
        }
    }

    /// Reads `data` to its end and returns its checksum, independent of what was summed before.
    ///
    /// [`Error::Read`] is a failure of `data`, all others are failures of the door.
    pub fn checksum(&mut self, mut data: impl Read) -> Result<Sum, Error> {
        let mut buffer = vec![0; BUFFER_LEN];
        let mut length = 0;
        self.reset()?;
        loop {
            match data.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => {
                    self.update(&buffer[..len])?;
                    length += len as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Read(error)),
            }
        }
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
