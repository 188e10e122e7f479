// SPDX-License-Identifier: GPL-2.0

//! Positions in files that are open for writing.
//!
//! Such a file is a stream: a plain write continues the session. The position of the file is only a
//! position in the text, which is read from files that are open for reading, too.
//!
//! But callers can also pass an offset, with `pwrite`, io_uring or `splice`. The device must refuse
//! such a write unless the session continues at this offset, because a stream cannot leave out or
//! overwrite data.
//!
//! The kernel passes offsets in the same way as the position of the file. To distinguish them, the
//! positions of such files start at a number that no caller passes as an offset.

/// The length in bytes of the text that reading returns: eight digits and a newline.
pub(super) const TEXT_LEN: usize = 9;

/// The position of the start of the text in a file that is not open for reading. It is negative, as
/// no offset of `pwrite` is. The kernel refuses transfers that are longer than the way to 0.
pub(super) const START: i64 = i64::MIN + 0x10_0000;

/// The position of the start of the text in a file that is open for reading, too. `sendfile` from
/// the device refuses negative positions, and to some files, such as terminals, those above 2^31.
/// The number is odd, because the offsets of blocks are even.
pub(super) const READABLE_START: i64 = 99_999_901;

/// A position that the kernel passes for a read or a write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// The position of the file, as an offset in the text.
    Text(i64),
    /// An offset from the caller.
    Offset(i64),
}

impl Position {
    /// Interprets a position of a file that is open for writing, whose text begins at `start`.
    pub(super) fn new(position: i64, start: i64) -> Self {
        match position.wrapping_sub(start) {
            text @ 0..=TEXT_END => Self::Text(text),
            _ => Self::Offset(position),
        }
    }

    /// Returns the offset in the text at which a read begins.
    pub(super) fn in_text(self) -> i64 {
        match self {
            Self::Text(position) | Self::Offset(position) => position,
        }
    }
}

const TEXT_END: i64 = TEXT_LEN as i64;
