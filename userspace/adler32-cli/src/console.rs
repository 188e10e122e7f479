// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The standard files.

use std::ffi::OsString;
use std::fmt::Display;
use std::fs::File;
use std::io;
use std::io::IsTerminal;
use std::io::Write;
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use adler32::describe;
use nix::libc;
use nix::unistd;

use crate::progress::Progress;

/// Puts a file that can be neither read nor written in the place of each standard file that is closed,
/// so that no file opened later gets its number.
pub fn occupy_closed_files() {
    while let Ok(file) = File::options()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open("/")
    {
        if file.as_raw_fd() > libc::STDERR_FILENO {
            break;
        }
        mem::forget(file);
    }
}

/// Where a command prints.
pub struct Console {
    program: &'static str,
    /// Whether lines appear where the bar is.
    terminal: bool,
    progress: Option<Progress>,
    failure: Option<io::Error>,
}

impl Console {
    /// Prints for the program of that name.
    pub fn new(program: &'static str) -> Self {
        Self {
            program,
            terminal: io::stdout().is_terminal(),
            progress: None,
            failure: None,
        }
    }

    /// Shows the progress of work from now on, see [`Progress::start`].
    pub fn show_progress(&mut self, names: Option<&[OsString]>) {
        self.progress = Progress::start(names);
    }

    /// Prints whole lines at once, as coreutils do: whoever reads them waits for none, and an interrupt
    /// leaves no half line. A failure is told by [`Self::finish`]: errors in reading still get their
    /// messages.
    pub fn print(&mut self, lines: &[u8]) {
        if self.failure.is_none() {
            let print = || Stdout.write_all(lines);
            let printed = match self.terminal {
                true => suspend(&self.progress, print),
                false => print(),
            };
            self.failure = printed.err();
        }
    }

    /// Prints an error, for which there is no better place if that fails.
    pub fn error(&mut self, message: impl Display) {
        let line = format!("{}: {message}\n", self.program);
        let _ = suspend(&self.progress, || io::stderr().write_all(line.as_bytes()));
    }

    /// Returns whether all could be printed.
    pub fn finish(mut self) -> bool {
        match self.failure.take() {
            None => true,
            Some(error) => {
                self.error(format_args!("write error: {}", describe(&error)));
                false
            }
        }
    }
}

/// Prints without the bar in between.
fn suspend<R>(progress: &Option<Progress>, print: impl FnOnce() -> R) -> R {
    match progress {
        Some(progress) => progress.suspend(print),
        None => print(),
    }
}

/// The standard output without a buffer, and with an error if it is closed: [`io::Stdout`] has none.
struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(unistd::write(io::stdout(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
