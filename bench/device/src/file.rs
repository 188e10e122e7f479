// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A file in the page cache.

use std::fs::File;
use std::io::Seek;
use std::num::NonZero;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::slice;
use std::thread;

use adler32::file::Options;
use adler32::processor;
use adler32::Adler32;
use adler32::Backend;
use adler32::BackendKind;
use adler32::Session;
use adler32::DRIVER_NAME;
use adler32_tests::alg::Hash;
use adler32_tests::memory::Map;
use adler32_tests::reference;
use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use bench_common::contender::Contender;
use bench_common::group::Group;
use bench_common::group::Workload;
use bench_common::MIB;
use nix::fcntl;
use nix::fcntl::FcntlArg;
use nix::fcntl::SpliceFFlags;
use nix::sys::memfd;
use nix::sys::memfd::MFdFlags;
use nix::sys::mman;
use nix::sys::mman::MapFlags;
use nix::sys::mman::ProtFlags;
use nix::sys::sendfile;
use nix::unistd;

use crate::peer;

/// The length of reads whose data stay in a fast cache. Reads of 1 MiB need fewer calls.
const READ: usize = 128 << 10;

/// Measures every way to sum a file.
pub fn measure(len: usize, rounds: usize) -> Result<Group> {
    let memfd = memfd::memfd_create("data", MFdFlags::MFD_CLOEXEC).context("memfd_create")?;
    let mut file = File::from(memfd);
    let sum = reference::fill(&mut file, len).context("cannot fill a file in memory")?;
    let file = &file;
    let null = File::create("/dev/null").context("cannot open /dev/null")?;
    let mut contenders = vec![
        Contender::new("device, sendfile", sum, device_sendfile(file, len)?),
        Contender::new(
            "device, splice by a pipe of 1 MiB",
            sum,
            device_splice(file, len)?,
        ),
        Contender::new("AF_ALG, sendfile", sum, af_alg_sendfile(file, len)?),
        Contender::new("program, read 128 KiB", sum, program_read(file, READ)),
        Contender::new("program, read 1 MiB", sum, program_read(file, MIB)),
        Contender::new("program, mmap", sum, program_mmap(file, len.try_into()?)),
        Contender::new(
            "libdeflate, read 128 KiB",
            sum,
            read(file, READ, 1, peer::libdeflate),
        ),
        Contender::new(
            "libdeflate, read 1 MiB",
            sum,
            read(file, MIB, 1, peer::libdeflate),
        ),
        Contender::limit("sendfile alone, to /dev/null", move || {
            send(&null, file, len)
        }),
        Contender::limit("read alone, 128 KiB", read(file, READ, (), |(), _| ())),
        Contender::limit("read alone, 1 MiB", read(file, MIB, (), |(), _| ())),
    ];
    let processors = thread::available_parallelism()?.get();
    for kind in [BackendKind::Device, BackendKind::Cpu] {
        for (threads, words) in [(1, "one thread"), (2, "two threads")] {
            if threads <= processors {
                let name = format!("library, {kind}, {words}");
                contenders.push(Contender::new(&name, sum, library(file, kind, threads)?));
            }
        }
    }
    let title = format!("A file of {} MiB in the page cache", len / MIB);
    Group::measure(Workload::File, title, len, contenders, rounds)
}

/// Sends the whole file by sendfile.
fn send(to: &impl AsFd, file: &File, len: usize) -> Result<()> {
    let mut left = len;
    let mut at = 0;
    while left > 0 {
        let sent = sendfile::sendfile(to, file, Some(&mut at), left).context("sendfile")?;
        ensure!(sent > 0, "sendfile ended {left} bytes early");
        left -= sent;
    }
    Ok(())
}

fn device_sendfile(file: &File, len: usize) -> Result<impl FnMut() -> Result<u32> + '_> {
    let mut session = Session::open()?;
    Ok(move || {
        session.reset()?;
        send(&session, file, len)?;
        Ok(session.sum()?.checksum.value())
    })
}

/// Returns a pass of the library.
fn library(
    mut file: &File,
    kind: BackendKind,
    threads: usize,
) -> Result<impl FnMut() -> Result<u32> + '_> {
    let mut backend = Backend::open(kind)?;
    let options = Options {
        threads: NonZero::new(threads),
        ..Options::default()
    };
    Ok(move || {
        file.rewind()?;
        Ok(backend.checksum_file(file, options)?.checksum.value())
    })
}

fn device_splice(file: &File, len: usize) -> Result<impl FnMut() -> Result<u32> + '_> {
    let mut session = Session::open()?;
    let (reader, writer) = unistd::pipe()?;
    fcntl::fcntl(&writer, FcntlArg::F_SETPIPE_SZ(MIB as i32)).context("F_SETPIPE_SZ")?;
    Ok(move || {
        session.reset()?;
        let none = SpliceFFlags::empty();
        let mut left = len;
        let mut at = 0;
        while left > 0 {
            let mut held = fcntl::splice(file, Some(&mut at), &writer, None, MIB, none)
                .context("splice to a pipe")?;
            ensure!(held > 0, "splice ended {left} bytes early");
            left -= held;
            while held > 0 {
                held -= fcntl::splice(&reader, None, &session, None, held, none)
                    .context("splice to the device")?;
            }
        }
        Ok(session.sum()?.checksum.value())
    })
}

fn af_alg_sendfile(file: &File, len: usize) -> Result<impl FnMut() -> Result<u32> + '_> {
    let operation = Hash::bind(DRIVER_NAME).context("bind")?.accept();
    Ok(move || {
        send(&operation, file, len)?;
        Ok(operation.value())
    })
}

/// Returns a pass that reads the whole file piece by piece into the same buffer and updates a sum.
fn read<'a, T: Copy + 'a>(
    file: &'a File,
    size: usize,
    start: T,
    update: impl Fn(T, &[u8]) -> T + 'a,
) -> impl FnMut() -> Result<T> + 'a {
    let mut buffer = Map::new(size);
    move || {
        let buffer = buffer.bytes();
        let mut sum = start;
        let mut at = 0;
        loop {
            match file.read_at(buffer, at).context("read")? {
                0 => return Ok(sum),
                len => {
                    sum = update(sum, &buffer[..len]);
                    at += len as u64;
                }
            }
        }
    }
}

fn program_read(file: &File, size: usize) -> impl FnMut() -> Result<u32> + '_ {
    let mut read = read(file, size, Adler32::EMPTY, processor::update);
    move || Ok(read()?.value())
}

fn program_mmap(file: &File, len: NonZeroUsize) -> impl FnMut() -> Result<u32> + '_ {
    move || {
        let (protection, flags) = (ProtFlags::PROT_READ, MapFlags::MAP_SHARED);
        // SAFETY: The kernel chooses free addresses.
        let start = unsafe { mman::mmap(None, len, protection, flags, file, 0) }.context("mmap")?;
        // SAFETY: The mapping is that long, and no one writes to the file.
        let data = unsafe { slice::from_raw_parts(start.as_ptr().cast(), len.get()) };
        let sum = processor::update(Adler32::EMPTY, data);
        // SAFETY: The data are no longer used.
        unsafe { mman::munmap(start, len.get()) }.context("munmap")?;
        Ok(sum.value())
    }
}
