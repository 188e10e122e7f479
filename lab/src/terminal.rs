// SPDX-License-Identifier: GPL-2.0 OR MIT

//! This program's terminal, joined to the guest's.

use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::thread;

use anyhow::{Context, Result};
use nix::libc;
use nix::pty::Winsize;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::termios::{cfmakeraw, tcgetattr, tcsetattr, SetArg, Termios};

nix::ioctl_read_bad!(window_size, libc::TIOCGWINSZ, Winsize);

/// The terminal; dropping it restores its mode.
pub struct Terminal {
    before: Termios,
    resized: SigSet,
}

impl Terminal {
    /// Takes the terminal. Must be called before any thread is started: one that does not block
    /// the signal for a new size would swallow it.
    pub fn open() -> Result<Self> {
        let before = tcgetattr(io::stdin())
            .context("a shell needs a terminal: use `lab vm` for commands in scripts")?;
        let mut resized = SigSet::empty();
        resized.add(Signal::SIGWINCH);
        resized.thread_block()?;
        Ok(Self { before, resized })
    }

    /// Passes what is typed to `keys` as it is, and the terminal's size to `control`, now and
    /// whenever it changes.
    pub fn join(&self, mut keys: UnixStream, mut control: UnixStream) -> Result<()> {
        let resized = self.resized;
        thread::spawn(move || -> Result<()> {
            loop {
                let mut size = Winsize {
                    ws_row: 0,
                    ws_col: 0,
                    ws_xpixel: 0,
                    ws_ypixel: 0,
                };
                // SAFETY: the pointer is to a whole `Winsize`.
                unsafe { window_size(io::stdin().as_raw_fd(), &mut size) }?;
                writeln!(control, "{} {}", size.ws_row, size.ws_col)?;
                resized.wait()?;
            }
        });
        thread::spawn(move || io::copy(&mut io::stdin().lock(), &mut keys));
        let mut raw = self.before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(io::stdin(), SetArg::TCSADRAIN, &raw)?;
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.before);
    }
}
