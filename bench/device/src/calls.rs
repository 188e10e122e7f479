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

use adler32_tests::reference;
use bench_common::contender::Contender;
use bench_common::contender::Group;
use bench_common::contender::Source;

/// Calls in a pass.
const CALLS: usize = 2_000;
/// The lengths of writes: those about which the driver copies or does not are of interest.
const WRITES: [(&str, usize); 5] = [
    ("device, write of 16 bytes", 16),
    ("device, write of 1 KiB", 1 << 10),
    ("device, write of 2 KiB", 2 << 10),
    ("device, write of 4 KiB", 4 << 10),
    ("device, write of 16 KiB", 16 << 10),
];
const NULL: &str = "/dev/null";
/// A request that no driver has.
const UNKNOWN: libc::Ioctl = libc::_IO(0, 0);

pub fn measure(rounds: usize) -> Result<Group> {
    let mut null = File::options()
        .write(true)
        .open(NULL)
        .with_context(|| format!("cannot open {NULL}"))?;
    let descriptor = null.as_raw_fd();
    let data = reference::noise(16 << 10, 4);
    let data = &data[..];
    let mut contenders = Vec::new();
    for (name, len) in WRITES {
        let data = &data[..len];
        let sum = (0..CALLS).fold(1, |sum, _| reference::append(sum, data));
        let mut session = Session::open()?;
        contenders.push(Contender::new(name, sum, move || {
            session.reset()?;
            write(&mut session, data)?;
            Ok(session.sum()?.checksum.value())
        }));
    }
    let mut asked = Session::open()?;
    asked.write_all(data).context("write")?;
    contenders.extend([
        Contender::limit("/dev/null, write of 16 bytes", move || {
            write(&mut null, &data[..16])
        }),
        Contender::new("device, GET", reference::adler(data), move || {
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
    ]);
    let title = format!("Calls, {CALLS} in a row");
    Group::measure(Source::Call, title, CALLS, contenders, rounds)
}

fn write(to: &mut impl Write, data: &[u8]) -> Result<()> {
    for _ in 0..CALLS {
        let len = to.write(data).context("write")?;
        ensure!(len == data.len(), "a write of {len} bytes");
    }
    Ok(())
}
