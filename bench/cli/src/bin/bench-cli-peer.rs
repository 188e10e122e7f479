// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Does the least that a program can do: it reads a file piece by piece into the same buffer, and
//! either does only that or also passes each piece to libdeflate.
//!
//! libdeflate comes from its crate, because Debian's older package has no AVX-512 for Adler-32.
//! The buffer begins at a page boundary, which makes reading faster.

use std::env;
use std::fs::File;
use std::io::Read;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use bench_common::buffer::Buffer;

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [work, size, path] = &arguments[..] else {
        bail!("usage: bench-cli-peer read|libdeflate BYTES FILE");
    };
    let size: usize = size
        .parse()
        .with_context(|| format!("not a size: {size}"))?;
    let mut buffer = Buffer::zeroed(size);
    let mut file = File::open(path).with_context(|| format!("cannot open {path}"))?;
    let update = match work.as_str() {
        "read" => |sum, _: &[u8]| sum,
        "libdeflate" => libdeflate,
        _ => bail!("neither read nor libdeflate: {work}"),
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

fn libdeflate(sum: u32, data: &[u8]) -> u32 {
    // SAFETY: The function only reads the data.
    unsafe { libdeflate_sys::libdeflate_adler32(sum, data.as_ptr().cast(), data.len()) }
}
