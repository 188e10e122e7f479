// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What a call costs that does next to nothing.

use std::fs::File;
use std::io;
use std::io::Write;
use std::os::fd::AsRawFd;

use adler32::Session;
use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;

use crate::contender::Contender;
use crate::contender::Group;
use crate::contender::Source;
use crate::reference;

/// Calls in a pass.
const CALLS: usize = 2_000;
/// What a write is of.
const DATA: &[u8; 16] = b"0123456789abcdef";
const NULL: &str = "/dev/null";
/// A request that no driver has.
const UNKNOWN: libc::Ioctl = libc::_IO(0, 0);

pub fn measure(rounds: usize) -> Result<Group> {
    let mut null = File::options()
        .write(true)
        .open(NULL)
        .with_context(|| format!("cannot open {NULL}"))?;
    let descriptor = null.as_raw_fd();
    let mut written = Session::open()?;
    let mut asked = Session::open()?;
    asked.write_all(DATA).context("write")?;
    let all = (0..CALLS).fold(1, |sum, _| reference::append(sum, DATA));
    let contenders = vec![
        Contender::new("device, write of 16 bytes", all, move || {
            written.reset()?;
            write(&mut written)?;
            Ok(written.sum()?.checksum.value())
        }),
        Contender::limit("/dev/null, write of 16 bytes", move || write(&mut null)),
        Contender::new("device, GET", reference::adler(DATA), move || {
            let mut last = asked.sum()?;
            for _ in 1..CALLS {
                last = asked.sum()?;
            }
            Ok(last.checksum.value())
        }),
        Contender::limit("/dev/null, unknown ioctl", move || {
            for _ in 0..CALLS {
                // SAFETY: No driver has the request, and it takes no argument.
                let result = unsafe { libc::ioctl(descriptor, UNKNOWN) };
                let error = io::Error::last_os_error();
                ensure!(
                    result == -1 && error.raw_os_error() == Some(libc::ENOTTY),
                    "{NULL} does not refuse an unknown ioctl: {error}"
                );
            }
            Ok(())
        }),
    ];
    let title = format!("Calls, {CALLS} in a row");
    Group::measure(Source::Call, title, CALLS, contenders, rounds)
}

fn write(to: &mut impl Write) -> Result<()> {
    for _ in 0..CALLS {
        let len = to.write(DATA).context("write")?;
        ensure!(len == DATA.len(), "a write of {len} bytes");
    }
    Ok(())
}
