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
use std::time::Duration;
use std::time::Instant;

use adler32::describe;
use indicatif::ProgressBar;
use nix::libc;
use nix::sys::stat;
use nix::unistd;

use crate::exit_code::ExitCode;
use crate::progress::Progress;

/// Replaces each closed standard file by a file that can be neither read nor written, so that no
/// file that is opened later gets its number.
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

/// Lines for a regular file are written together, after this time or this number of bytes. A write
/// for each line would add an eighth to the time that files of 4 KiB take.
const PATIENCE: Duration = Duration::from_millis(100);
const WAITING: usize = 4096;

/// The output of a command.
pub struct Output {
    program: &'static str,
    /// Whether lines appear on the terminal with the bar.
    terminal: bool,
    /// Whether lines go to a regular file, and so may be delayed.
    file: bool,
    /// Whole lines that are not written yet.
    lines: Vec<u8>,
    printed: Instant,
    progress: Option<Progress>,
    failure: Option<io::Error>,
}

impl Output {
    /// Creates the output of a program.
    pub fn new(program: &'static str) -> Self {
        Self {
            program,
            terminal: io::stdout().is_terminal(),
            file: stat::fstat(io::stdout())
                .is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFREG),
            lines: Vec::new(),
            printed: Instant::now(),
            progress: None,
            failure: None,
        }
    }

    /// Shows a progress bar from now on, see [`Progress::start`].
    pub fn show_progress(&mut self, bar: &ProgressBar, names: Option<&[OsString]>) {
        self.progress = Progress::start(bar, names);
    }

    /// Prints whole lines, as coreutils does, so that an interrupt does not cut a line. A failure
    /// is reported by [`Self::finish`], so that messages about other failures still appear.
    pub fn print(&mut self, lines: &[u8]) {
        self.lines.extend_from_slice(lines);
        if !self.file || self.lines.len() >= WAITING || self.printed.elapsed() >= PATIENCE {
            self.flush();
        }
    }

    /// Writes all lines. Called before work that may take long.
    pub fn flush(&mut self) {
        if self.failure.is_none() && !self.lines.is_empty() {
            let print = || Stdout.write_all(&self.lines);
            let printed = match self.terminal {
                true => suspend(&self.progress, print),
                false => print(),
            };
            self.failure = printed.err();
        }
        self.lines.clear();
        self.printed = Instant::now();
    }

    /// Prints an error. If this fails, there is no place to report it.
    pub fn error(&mut self, message: impl Display) {
        self.flush();
        let line = format!("{}: {message}\n", self.program);
        let _ = suspend(&self.progress, || io::stderr().write_all(line.as_bytes()));
    }

    /// Writes all lines, and reports if any line could not be written.
    pub fn finish(mut self) -> ExitCode {
        self.flush();
        match self.failure.take() {
            None => ExitCode::Success,
            Some(error) => {
                self.error(format_args!("write error: {}", describe(&error)));
                ExitCode::Failure
            }
        }
    }
}

/// Prints while the bar is hidden.
fn suspend<R>(progress: &Option<Progress>, print: impl FnOnce() -> R) -> R {
    match progress {
        Some(progress) => progress.suspend(print),
        None => print(),
    }
}

/// The standard output without a buffer. It fails if the file is closed, which [`io::Stdout`]
/// ignores.
struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(unistd::write(io::stdout(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
