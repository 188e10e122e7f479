// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How the bytes of an open file get to a backend.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl;
use nix::fcntl::SpliceFFlags;
use nix::sys::sendfile;
use nix::sys::stat::FileStat;
use nix::sys::stat::SFlag;

use crate::BackendKind;

/// From how many bytes on a file is sent rather than read.
const SENT_FROM: i64 = 128 * 1024;

/// How many bytes the kernel is asked to move by one call. Not more than it does, which is 2 GiB less
/// a page: a call that has moved as many has ended the message on an AF_ALG socket.
pub(crate) const MOST: usize = 1024 * 1024 * 1024;

/// How the kernel moves bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// The pages of a file.
    Sendfile,
    /// The pages of a pipe.
    Splice,
}

/// Chooses how the kernel moves the bytes of a file to a backend. What it does not move is read, see
/// [`file`](crate::file).
///
/// `make bench-device` prints, for a file of 1 GiB in the page cache, in User Mode Linux on a
/// virtual machine with a processor of the Zen 4 family, best of 15 rounds:
///
/// | | GB/s |
/// |---|---|
/// | device, `sendfile` | 20.2 |
/// | AF_ALG, `sendfile` | 19.6 |
/// | device, `splice` from a pipe | 15.9 |
/// | processor, `read` of 1 MiB at a time | 11.5 |
/// | processor, `read` of 128 KiB at a time | 5.9 |
/// | processor, `mmap` | 2.7 |
///
/// So the kernel sends what it can send; UPDATE wants a buffer. A short file is read: that takes a
/// call to read it and one to hand it on, `sendfile` takes as many, and has a pipe to set up. The two
/// took equally long at 16 KiB natively, to `/dev/null`, and between 64 and 256 KiB in User Mode Linux,
/// to the device (by a program that was not kept). Files that say they are empty, as those in `/proc`
/// do, are among these.
pub(crate) fn choose(via: BackendKind, stat: &FileStat) -> Option<Call> {
    if !matches!(via, BackendKind::Device | BackendKind::AfAlg) {
        return None;
    }
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    match kind {
        SFlag::S_IFREG if stat.st_size > SENT_FROM => Some(Call::Sendfile),
        SFlag::S_IFIFO => Some(Call::Splice),
        _ => None,
    }
}

/// Has the kernel move bytes of `file` to `backend` and returns how many, by which the position of
/// `file` has advanced. There are none at the end of the file, nor where the kernel refuses, be it
/// because of the file, the backend or a policy: whoever reads on from there finds out.
pub(crate) fn send(file: impl AsFd, backend: impl AsFd, call: Call) -> usize {
    loop {
        let sent = match call {
            Call::Sendfile => sendfile::sendfile(&backend, &file, None, MOST),
            Call::Splice => fcntl::splice(
                &file,
                None,
                &backend,
                None,
                MOST,
                SpliceFFlags::SPLICE_F_MORE,
            ),
        };
        match sent {
            Err(Errno::EINTR) => {}
            sent => return sent.unwrap_or(0),
        }
    }
}
