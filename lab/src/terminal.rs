// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The lab's own terminal, connected to the guest's.

use std::io;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::thread;

use anyhow::Context;
use anyhow::Result;
use nix::libc;
use nix::pty::Winsize;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;
use nix::sys::termios::cfmakeraw;
use nix::sys::termios::tcgetattr;
use nix::sys::termios::tcsetattr;
use nix::sys::termios::SetArg;
use nix::sys::termios::Termios;

nix::ioctl_read_bad!(window_size, libc::TIOCGWINSZ, Winsize);

/// The terminal. Dropping this value restores the terminal's mode.
pub struct Terminal {
    before: Termios,
    resized: SigSet,
}

impl Terminal {
    /// Opens the terminal. Must be called before any thread is started: a thread that does not
    /// block SIGWINCH would receive the signal and ignore it.
    pub fn open() -> Result<Self> {
        let before = tcgetattr(io::stdin())
            .context("a shell needs a terminal: use `lab vm` for commands in scripts")?;
        let mut resized = SigSet::empty();
        resized.add(Signal::SIGWINCH);
        resized.thread_block()?;
        Ok(Self { before, resized })
    }

    /// Writes typed bytes to `keys` unchanged, and the terminal's size to `control`, now and after
    /// each change.
    pub fn connect(&self, mut keys: UnixStream, mut control: UnixStream) -> Result<()> {
        let resized = self.resized;
        thread::spawn(move || -> Result<()> {
            loop {
                let mut size = Winsize {
                    ws_row: 0,
                    ws_col: 0,
                    ws_xpixel: 0,
                    ws_ypixel: 0,
                };
                // SAFETY: `size` is a valid `Winsize` that outlives the call, which writes only
                // there.
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
