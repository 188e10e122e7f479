// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The exit status.

use std::os::raw::c_int;

/// The exit status of a command. Of two, the greater one is the worse.
///
/// [`std::process::ExitCode`] cannot be converted to the number that `main` of C returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExitCode {
    /// Everything succeeded.
    Success,
    /// Something could not be done, for example because a file cannot be read.
    Failure,
    /// Everything could be done, or a part, but the result is negative, for example because a
    /// checksum does not match.
    Negative,
    /// Something failed for the reason with this error number, which is the exit status.
    Errno(c_int),
}

impl ExitCode {
    /// Returns the exit status of sha256sum, which is the same for all failures.
    pub fn of_sha256sum(self) -> Self {
        match self {
            Self::Success => self,
            _ => Self::Negative,
        }
    }
}

impl From<ExitCode> for c_int {
    fn from(code: ExitCode) -> Self {
        match code {
            ExitCode::Success => 0,
            ExitCode::Negative => 1,
            ExitCode::Failure => 2,
            ExitCode::Errno(errno) => errno,
        }
    }
}
