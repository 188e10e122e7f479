// SPDX-License-Identifier: GPL-2.0

//! A checksum and the number of bytes that it covers.

use kernel::prelude::*;

use crate::{
    adler32::Adler32,
    uapi, //
};

/// The checksum of some bytes, and their number.
///
/// # Invariants
///
/// `length` is at most [`uapi::MAX_LENGTH`].
#[derive(Clone, Copy)]
pub(super) struct Sum {
    checksum: Adler32,
    length: u64,
}

impl Sum {
    // INVARIANT: The length is 0.
    pub(super) const EMPTY: Self = Self {
        checksum: Adler32::EMPTY,
        length: 0,
    };

    /// Parses what a user passes.
    pub(super) fn from_state(state: uapi::State) -> Result<Self> {
        let checksum = Adler32::from_value(state.value).ok_or(EINVAL)?;
        if state.reserved != 0 || state.length > uapi::MAX_LENGTH {
            return Err(EINVAL);
        }
        // INVARIANT: The length was checked just now.
        Ok(Self {
            checksum,
            length: state.length,
        })
    }

    pub(super) fn to_state(self) -> uapi::State {
        uapi::State {
            value: self.checksum.value(),
            reserved: 0,
            length: self.length,
        }
    }

    pub(super) fn is_empty(self) -> bool {
        self.checksum == Adler32::EMPTY && self.length == 0
    }

    pub(super) fn checksum(self) -> Adler32 {
        self.checksum
    }

    pub(super) fn length(self) -> u64 {
        self.length
    }

    /// Returns the sum after `more` bytes, with which the checksum becomes `checksum`, or
    /// [`EOVERFLOW`].
    pub(super) fn extended(self, checksum: Adler32, more: u64) -> Result<Self> {
        match self.length.checked_add(more) {
            // INVARIANT: The guard of this arm checks the length.
            Some(length) if length <= uapi::MAX_LENGTH => Ok(Self { checksum, length }),
            _ => Err(EOVERFLOW),
        }
    }

    /// Returns the sum of these bytes followed by those that `part` covers, or [`EOVERFLOW`].
    pub(super) fn combined(self, part: Self) -> Result<Self> {
        let checksum = self.checksum.combine(part.checksum, part.length);
        self.extended(checksum, part.length)
    }

    /// Returns [`EOVERFLOW`] if `more` bytes would make the sum too long.
    pub(super) fn check_room(self, more: u64) -> Result {
        self.extended(self.checksum, more).map(|_| ())
    }
}
