// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How the bytes of an open file get to a door.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl;
use nix::fcntl::SpliceFFlags;
use nix::sys::sendfile;
use nix::sys::stat::FileStat;
use nix::sys::stat::SFlag;

use crate::Via;

/// How many bytes are read at a time where there is no reason for another number.
pub(crate) const BUFFER: usize = 128 * 1024;

/// How many bytes the kernel is asked to move by one call: fewer than the most that it does, which
/// is 2 GiB less a page.
pub(crate) const MOST: usize = 1024 * 1024 * 1024;

/// How the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The kernel sends the pages of a file to the door.
    Sendfile,
    /// The kernel moves the pages of a pipe to the door.
    Splice,
    /// They are read into a buffer of so many bytes, and what was read is handed to the door.
    Read { buffer: usize },
}

/// Chooses how the bytes of a file get to a door.
pub(crate) fn choose(via: Via, stat: &FileStat) -> Way {
    let takes_pages = matches!(via, Via::Device | Via::AfAlg);
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    match kind {
        SFlag::S_IFREG if takes_pages && stat.st_size > BUFFER as i64 => Way::Sendfile,
        SFlag::S_IFIFO if takes_pages => Way::Splice,
        SFlag::S_IFREG if stat.st_size >= LONG => Way::Read {
            buffer: LONG_BUFFER,
        },
        _ => Way::Read { buffer: BUFFER },
    }
}

const LONG: i64 = 32 << 20;
const LONG_BUFFER: usize = 1 << 20;

/// Has the kernel move bytes of `file` to `door` and returns how many. There are none at the end of
/// the file, nor where the kernel refuses, be it because of the file, the door or a policy: whoever
/// reads on from there finds out.
pub(crate) fn send(file: impl AsFd, door: impl AsFd, way: Way) -> usize {
    loop {
        let sent = match way {
            Way::Sendfile => sendfile::sendfile(&door, &file, None, MOST),
            Way::Splice => {
                fcntl::splice(&file, None, &door, None, MOST, SpliceFFlags::SPLICE_F_MORE)
            }
            Way::Read { .. } => Ok(0),
        };
        match sent {
            Err(Errno::EINTR) => {}
            sent => return sent.unwrap_or(0),
        }
    }
}
