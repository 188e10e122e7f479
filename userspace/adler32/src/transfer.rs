// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Transfers of bytes from an open file to the kernel module, without a copy in this process.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl;
use nix::fcntl::SpliceFFlags;
use nix::sys::sendfile;
use nix::sys::stat::FileStat;
use nix::sys::stat::SFlag;

/// A file of more bytes is sent, and a shorter file is read.
const SENT_FROM: i64 = 128 * 1024;

/// How many bytes one call asks the kernel to send. The kernel sends at most 2 GiB less a page. A
/// call that sends as many bytes as it asked for ends the message on an AF_ALG socket.
pub(crate) const MOST: usize = 1024 * 1024 * 1024;

/// How the kernel sends bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// From the pages of a file.
    Sendfile,
    /// From the pages of a pipe.
    Splice,
}

/// Chooses how the kernel sends the bytes of a file. Bytes that are not sent are read, see
/// [`file`](crate::file).
///
/// `make bench-device` printed these rates for a file of 1 GiB in the page cache, in User Mode
/// Linux on a virtual machine with a processor of the Zen 4 family, best of 15 rounds:
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
/// A short file is read. Reading it takes two calls, one to read and one to write. `sendfile` takes
/// two calls as well, and sets up a pipe. Both took equally long at 16 KiB when the file was sent
/// to `/dev/null` natively, and between 64 and 256 KiB when it was sent to the device in User Mode
/// Linux. (The program that measured this was not kept.) Files that report a size of 0, such as
/// files in `/proc`, count as short.
pub(crate) fn choose(stat: &FileStat) -> Option<Call> {
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    match kind {
        SFlag::S_IFREG if stat.st_size > SENT_FROM => Some(Call::Sendfile),
        SFlag::S_IFIFO => Some(Call::Splice),
        _ => None,
    }
}

/// Has the kernel send at most `most` bytes of `file` to `backend`, and returns how many. The bytes
/// begin at `at`, or at the position of `file`, which advances by their number. The number is 0 at
/// the end of the file, and also if the kernel refuses because of the file, the backend or a
/// policy. The caller then reads on and finds out which.
pub(crate) fn send(
    file: impl AsFd,
    backend: impl AsFd,
    call: Call,
    at: Option<u64>,
    most: usize,
) -> usize {
    // No file has bytes at an offset that is not a signed number.
    let Ok(mut at) = at.map(i64::try_from).transpose() else {
        return 0;
    };
    loop {
        let sent = match call {
            Call::Sendfile => sendfile::sendfile(&backend, &file, at.as_mut(), most),
            Call::Splice => fcntl::splice(
                &file,
                None,
                &backend,
                None,
                most,
                SpliceFFlags::SPLICE_F_MORE,
            ),
        };
        match sent {
            Err(Errno::EINTR) => {}
            sent => return sent.unwrap_or(0),
        }
    }
}
