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
use nix::libc;
use nix::sys::stat;
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

/// How long lines for a regular file wait for others, and how many bytes do. To write each line by
/// itself would add an eighth to the time that files of 4 KiB take.
const PATIENCE: Duration = Duration::from_millis(100);
const WAITING: usize = 4096;

/// Where a command prints.
pub struct Output {
    program: &'static str,
    /// Whether lines appear where the bar is.
    terminal: bool,
    /// Whether lines go to a regular file, where nobody waits for them.
    file: bool,
    /// Whole lines to be printed.
    lines: Vec<u8>,
    printed: Instant,
    progress: Option<Progress>,
    failure: Option<io::Error>,
}

impl Output {
    /// Prints for the program of that name.
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

    /// Shows the progress of work from now on, see [`Progress::start`].
    pub fn show_progress(&mut self, names: Option<&[OsString]>) {
        self.progress = Progress::start(names);
    }

    /// Prints whole lines, as coreutils do, so that an interrupt leaves no half one. A failure is told by
    /// [`Self::finish`]: errors in reading still get their messages.
    pub fn print(&mut self, lines: &[u8]) {
        self.lines.extend_from_slice(lines);
        if !self.file || self.lines.len() >= WAITING || self.printed.elapsed() >= PATIENCE {
            self.flush();
        }
    }

    /// Leaves no line waiting, as is due before work that can take long.
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

    /// Prints an error, for which there is no better place if that fails.
    pub fn error(&mut self, message: impl Display) {
        self.flush();
        let line = format!("{}: {message}\n", self.program);
        let _ = suspend(&self.progress, || io::stderr().write_all(line.as_bytes()));
    }

    /// Returns whether all could be printed.
    pub fn finish(mut self) -> bool {
        self.flush();
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
