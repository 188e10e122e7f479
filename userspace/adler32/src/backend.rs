// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The backends behind one interface of functions.

use std::fmt;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::ops::Range;
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
use crate::file::sessions::Sessions;
use crate::file::source::Part;
use crate::file::source::Source;
use crate::file::Found;
use crate::file::Options;
use crate::file::Way;
use crate::file::DEVICE_STEP;
use crate::hasher::Hasher;
use crate::session::Session;
use crate::sum::Sum;
use crate::threads;
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
        let length = self.read_rest(Options::default(), |buffer| {
            Ok((Way::Read, 0..data.read(buffer)?))
        })?;
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
        let call = transfer::choose(&stat);
        let mut length = 0;
        let mut direct = false;
        if call == Some(Call::Splice) {
            while let sent @ 1.. = self.send(file, Call::Splice, None, transfer::MOST)? {
                length += sent as u64;
                options.report(Way::Sent, sent as u64);
            }
        } else if call == Some(Call::Sendfile) || options.direct {
            let source = Source::new(file, options.direct).map_err(Error::Read)?;
            direct = source.is_always_direct();
            if call == Some(Call::Sendfile) || direct {
                length = self.append_rest(&source, file, options)?;
            }
        }
        // Whether or not the kernel sent bytes, a read finds the end of the file. Its failure is a
        // failure of the file, where a failure to send could also be one of the backend.
        if !direct {
            length += self.read_rest(options, |buffer| {
                Ok((Way::Read, 0..unistd::read(file, buffer)?))
            })?;
        }
        self.finish(length)
    }

    /// Returns the checksum of the bytes of `file` from `range.start` to `range.end` or to the end
    /// of the file, which does not depend on earlier calls.
    ///
    /// This function reads as [`Backend::checksum_file`] does. The position of the file is neither
    /// used nor changed.
    pub fn checksum_range(
        &mut self,
        file: impl AsFd,
        range: Range<u64>,
        options: Options<'_>,
    ) -> Result<Sum, Error> {
        let file = file.as_fd();
        if let Self::Cpu(_) = self {
            return file::checksum_range(file, range, options);
        }
        self.reset()?;
        let source = Source::new(file, options.direct).map_err(Error::Read)?;
        let length = self.append(&source, range, options)?;
        self.finish(length)
    }

    /// Appends a file from its position on, and sets the position to the end. Returns the number of
    /// bytes.
    fn append_rest(
        &mut self,
        source: &Source,
        file: BorrowedFd<'_>,
        options: Options<'_>,
    ) -> Result<u64, Error> {
        let mut file = File::from(file.try_clone_to_owned().map_err(Error::Read)?);
        let start = file.stream_position().map_err(Error::Read)?;
        let length = self.append(source, start..u64::MAX, options)?;
        let end = SeekFrom::Start(start + length);
        file.seek(end).map_err(Error::Read)?;
        Ok(length)
    }

    /// Appends a range of a file. Returns the number of bytes.
    fn append(
        &mut self,
        source: &Source,
        range: Range<u64>,
        options: Options<'_>,
    ) -> Result<u64, Error> {
        let start = range.start;
        let mut at = start + self.append_by_several(source, range.clone(), options)?;
        for part in source.parts(at..range.end, u64::MAX) {
            let end = match part {
                Part::Hole(hole) => {
                    at = hole.end;
                    self.append_zeros(hole.end - hole.start)?;
                    options.report(Way::Hole, hole.end - hole.start);
                    continue;
                }
                Part::Data(data) | Part::Direct(data) => data.end,
            };
            while at < end && !source.is_always_direct() {
                let most = usize::try_from(end - at).unwrap_or(usize::MAX);
                let most = most.min(transfer::MOST);
                let sent = self.send(source.as_fd(), Call::Sendfile, Some(at), most)? as u64;
                if sent == 0 {
                    break;
                }
                at += sent;
                options.report(Way::Sent, sent);
            }
            let mut reading = at;
            at += self.read_rest(options, |buffer| {
                let found = source.read(buffer, reading..end, options.direct)?;
                reading += found.1.len() as u64;
                Ok(found)
            })?;
            if at < end {
                break;
            }
        }
        Ok(at - start)
    }

    /// Appends a long range of a file by several sessions of the device, or else nothing. Returns
    /// the number of bytes.
    fn append_by_several(
        &mut self,
        source: &Source,
        range: Range<u64>,
        options: Options<'_>,
    ) -> Result<u64, Error> {
        let Self::Device(session) = self else {
            return Ok(0);
        };
        if source.is_always_direct() || threads::number(options.threads) == 1 {
            return Ok(0);
        }
        let size = source.size().map_err(Error::Read)?;
        let known = range.start..range.end.min(size);
        if !file::is_long(&known) {
            return Ok(0);
        }
        let sessions = Sessions::open()?;
        let sum = file::sum_long(source, known, DEVICE_STEP, options, |range, options| {
            sessions.send(source, range, options)
        })?;
        if sum.length > 0 {
            session.combine(sum)?;
        }
        Ok(sum.length)
    }

    /// Has the kernel append at most `most` bytes of `file`, from `at` or from its position on.
    /// Returns how many it sent.
    fn send(
        &mut self,
        file: BorrowedFd<'_>,
        call: Call,
        at: Option<u64>,
        most: usize,
    ) -> Result<usize, Error> {
        match self {
            Self::Device(session) => Ok(transfer::send(file, &*session, call, at, most)),
            Self::AfAlg(hash) => hash.send(file, call, at, most),
            // The UPDATE ioctl takes bytes from a buffer only.
            Self::Ioctl(_) | Self::Cpu(_) => Ok(0),
        }
    }

    /// Appends zeros, without their bytes.
    fn append_zeros(&mut self, length: u64) -> Result<(), Error> {
        let zeros = Sum::zeros(length);
        match self {
            Self::Device(session) | Self::Ioctl(session) => session.combine(zeros),
            Self::AfAlg(hash) => hash.combine(zeros),
            Self::Cpu(hasher) => {
                *hasher = Hasher::resume(hasher.sum().combine(zeros));
                Ok(())
            }
        }
    }

    /// Appends the bytes that `read` finds. Returns their number.
    fn read_rest(
        &mut self,
        options: Options<'_>,
        read: impl FnMut(&mut [u8]) -> io::Result<Found>,
    ) -> Result<u64, Error> {
        file::read_all(options, read, |piece| self.update(piece))
    }

    /// Returns the checksum of the bytes so far. Their number is `length`.
    fn finish(&mut self, length: u64) -> Result<Sum, Error> {
        let checksum = match self {
            Self::Device(session) | Self::Ioctl(session) => {
                let sum = session.sum()?;
                if sum.length != length {
                    return Err(failed(DEVICE_PATH, "GET")(io::ErrorKind::InvalidData));
                }
                sum.checksum
            }
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
