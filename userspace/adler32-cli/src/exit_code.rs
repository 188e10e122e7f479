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
    /// Something failed.
    Failure,
    /// Something failed for the reason with this error number, which is the exit status.
    Errno(c_int),
}

impl From<ExitCode> for c_int {
    fn from(code: ExitCode) -> Self {
        match code {
            ExitCode::Success => 0,
            ExitCode::Failure => 1,
            ExitCode::Errno(errno) => errno,
        }
    }
}
