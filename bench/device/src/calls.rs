// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The cost of calls with little or no data.

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
use bench_common::group::Group;
use bench_common::group::Workload;

/// Calls in a pass.
const CALLS: usize = 2_000;
/// The lengths of writes, some below and some above the length from which the driver does not copy.
const WRITES: [(&str, usize); 5] = [
    ("device, write of 16 bytes", 16),
    ("device, write of 1 KiB", 1 << 10),
    ("device, write of 2 KiB", 2 << 10),
    ("device, write of 4 KiB", 4 << 10),
    ("device, write of 16 KiB", 16 << 10),
];
const NULL: &str = "/dev/null";
/// A request that no driver supports.
const UNKNOWN: libc::Ioctl = libc::_IO(0, 0);

/// Measures writes of a few bytes and ioctls.
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
    let mut session = Session::open()?;
    session.write_all(data).context("write")?;
    contenders.extend([
        Contender::limit("/dev/null, write of 16 bytes", move || {
            write(&mut null, &data[..16])
        }),
        Contender::new("device, GET", reference::adler(data), move || {
            let mut last = session.sum()?;
            for _ in 1..CALLS {
                last = session.sum()?;
            }
            Ok(last.checksum.value())
        }),
        Contender::limit("/dev/null, unknown ioctl", move || {
            for _ in 0..CALLS {
                // SAFETY: The request takes no argument, and no driver supports it.
                let result = unsafe { libc::ioctl(descriptor, UNKNOWN) };
                let error = io::Error::last_os_error();
                ensure!(
                    result == -1 && error.raw_os_error() == Some(libc::ENOTTY),
                    "{NULL} does not reject an unknown ioctl: {error}"
                );
            }
            Ok(())
        }),
    ]);
    let title = format!("Calls, {CALLS} in a row");
    Group::measure(Workload::Call, title, CALLS, contenders, rounds)
}

fn write(to: &mut impl Write, data: &[u8]) -> Result<()> {
    for _ in 0..CALLS {
        let len = to.write(data).context("write")?;
        ensure!(
            len == data.len(),
            "write took {len} bytes of {}",
            data.len()
        );
    }
    Ok(())
}
