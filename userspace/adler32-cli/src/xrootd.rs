// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 xrootd`, the checksum program of an XRootD server.
//!
//! The server sends the first line of the standard output to the client: the checksum, or, if the
//! exit status is not 0, the reason. The server takes the exit status for an error number, from
//! which it makes the error code for the client. Status 1 would stand for a missing permission.
//!
//! When the server has read a whole line, it kills the program, and takes the line of a killed
//! program for a checksum. So the reason is the last thing that is printed, and has no newline:
//! then the server reads until the program has exited.

use std::env;
use std::ffi::OsStr;
use std::fmt::Display;
use std::fs;
use std::fs::File;
use std::io;
use std::os::raw::c_int;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

use adler32::describe;
use adler32::file;
use adler32::file::Options;
use adler32::Error;
use nix::libc;

use crate::attribute::State;
use crate::attribute::Stored;
use crate::cli::XrootdArgs;
use crate::exit_code::ExitCode;
use crate::output::Output;
use crate::quote::quote;

/// The variable in which the server passes `oss.localroot`.
const LOCAL_ROOT: &str = "XRDLCLROOT";

/// Prints the checksum of a file, or the reason why there is none.
pub fn run(args: &XrootdArgs, output: &mut Output) -> ExitCode {
    let line = operand(args).and_then(|operand| {
        let failed = |error| Failure::of(operand, &error);
        let path = path(args, operand).map_err(failed)?;
        let file = open(&path).map_err(failed)?;
        let Some(format) = args.xattr else {
            return sum(&file, args).map_err(failed);
        };
        let before = State::of(&file).map_err(failed)?;
        let stored = format.read(&file);
        if let Some(stored) = stored.filter(|stored| stored.is_fresh(&before)) {
            return Ok(stored.checksum);
        }
        let checksum = sum(&file, args).map_err(failed)?;
        match stored.filter(|stored| stored.is_current(&before) != Some(false)) {
            Some(Stored {
                checksum: other, ..
            }) if other != checksum => Err(Failure::new(
                libc::EDOM,
                format_args!(
                    "{}: checksum {checksum:08x} differs from the stored one, {other:08x}",
                    quote(operand)
                ),
            )),
            _ => {
                // The server writes the warning to its log.
                if let Err(warning) = format.write(&file, checksum, &before) {
                    output.error(format_args!("{}: {warning}", quote(operand)));
                }
                Ok(checksum)
            }
        }
    });
    match line {
        Ok(checksum) => {
            output.print(format!("{checksum:08x}\n").as_bytes());
            ExitCode::Success
        }
        Err(Failure { errno, reason }) => {
            // The server writes the standard error to its log.
            output.error(&reason);
            output.print(reason.as_bytes());
            ExitCode::Errno(errno)
        }
    }
}

/// Why there is no checksum.
struct Failure {
    errno: c_int,
    reason: String,
}

impl Failure {
    fn new(errno: c_int, reason: impl Display) -> Self {
        let reason = reason.to_string();
        Self { errno, reason }
    }

    /// Makes a failure of an error. The path in the reason is the one that the client sent.
    fn of(path: &OsStr, error: &io::Error) -> Self {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        Self::new(errno, format_args!("{}: {}", quote(path), describe(error)))
    }
}

/// Returns the path in the operands.
fn operand(args: &XrootdArgs) -> Result<&OsStr, Failure> {
    match &*args.operands {
        [path] => Ok(path),
        [kind, path, _tident] | [kind, path, _tident, _] => {
            match kind.eq_ignore_ascii_case("adler32") {
                true => Ok(path),
                false => Err(Failure::new(
                    libc::ENOTSUP,
                    format_args!("{} checksum not supported, only adler32", quote(kind)),
                )),
            }
        }
        _ => Err(Failure::new(
            libc::EINVAL,
            "the operands are neither PATH nor adler32 PATH TIDENT [USER]",
        )),
    }
}

/// Returns the path of the file for the path that the client sent.
fn path(args: &XrootdArgs, path: &OsStr) -> io::Result<PathBuf> {
    let from_server = || env::var_os(LOCAL_ROOT).map(PathBuf::from);
    let Some(root) = args.root.clone().or_else(from_server) else {
        return Ok(path.into());
    };
    let path = Path::new(path);
    // The server refuses these, too.
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    Ok(root.join(path.strip_prefix("/").unwrap_or(path)))
}

/// Opens a regular file. Other files could keep the server waiting.
fn open(path: &Path) -> io::Result<File> {
    let kind = fs::metadata(path)?.file_type();
    if !kind.is_file() {
        let errno = match kind.is_dir() {
            true => libc::EISDIR,
            false => libc::ENOTBLK,
        };
        return Err(io::Error::from_raw_os_error(errno));
    }
    File::open(path)
}

fn sum(file: &File, args: &XrootdArgs) -> io::Result<u32> {
    let options = Options {
        threads: Some(args.threads),
        device: true,
        ..Options::default()
    };
    match file::checksum(file, options) {
        Ok(sum) => Ok(sum.checksum.value()),
        Err(Error::Read(error)) => Err(error),
        Err(error) => Err(io::Error::other(error.to_string())),
    }
}
