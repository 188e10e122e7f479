// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Does the least that a program can do: it reads a file piece by piece into the same buffer, and
//! either does only that or also passes each piece to libdeflate. Or it reads a file past the page
//! cache, 16 pieces at a time.
//!
//! libdeflate comes from its crate, because Debian's older package has no AVX-512 for Adler-32.
//! The buffer begins at a page boundary, which makes reading faster. The buffers for reads past the
//! page cache are huge pages, for which the kernel makes longer requests to the disk.

use std::env;
use std::fs::File;
use std::io;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use bench_common::buffer::Buffer;

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [work, size, path] = &arguments[..] else {
        bail!("usage: bench-cli-peer read|libdeflate|direct BYTES FILE");
    };
    let size: usize = size
        .parse()
        .with_context(|| format!("not a size: {size}"))?;
    let mut buffer = Buffer::zeroed(size);
    if work == "direct" {
        return direct(path, size).with_context(|| format!("cannot read {path}"));
    }
    let mut file = File::open(path).with_context(|| format!("cannot open {path}"))?;
    let update = match work.as_str() {
        "read" => |sum, _: &[u8]| sum,
        "libdeflate" => libdeflate,
        _ => bail!("neither read, libdeflate nor direct: {work}"),
    };
    let mut sum = 1;
    loop {
        match file
            .read(&mut buffer)
            .with_context(|| format!("cannot read {path}"))?
        {
            0 => break,
            len => sum = update(sum, &buffer[..len]),
        }
    }
    println!("{sum:08x}");
    Ok(())
}

/// The size of a huge page.
const HUGE: usize = 2 * 1024 * 1024;

/// Reads pieces of a file past the page cache, by 16 threads.
fn direct(path: &str, size: usize) -> io::Result<()> {
    let mut options = File::options();
    let file = options.read(true).custom_flags(libc::O_DIRECT).open(path)?;
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        let read = || {
            let mut memory = vec![0; size + HUGE];
            let start = memory.as_ptr().align_offset(HUGE);
            let buffer = &mut memory[start..start + size];
            // SAFETY: The advice does not change the content of the memory.
            unsafe { libc::madvise(buffer.as_mut_ptr().cast(), size, libc::MADV_HUGEPAGE) };
            loop {
                let at = next.fetch_add(size as u64, Relaxed);
                if file.read_at(buffer, at)? < size {
                    return Ok(());
                }
            }
        };
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(read)).collect();
        let ends = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        ends.collect()
    })
}

fn libdeflate(sum: u32, data: &[u8]) -> u32 {
    // SAFETY: The function only reads the data.
    unsafe { libdeflate_sys::libdeflate_adler32(sum, data.as_ptr().cast(), data.len()) }
}
