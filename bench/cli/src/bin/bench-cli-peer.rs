// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The least that a program can do: read a file into one buffer again and again, and either that alone
//! or also hand each piece to libdeflate.
//!
//! libdeflate is that of its crate, and so newer than Debian's, whose Adler-32 knows no AVX-512. The
//! buffer begins with a page, which makes reading faster.

use std::env;
use std::fs::File;
use std::io::Read;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;

const PAGE: usize = 4096;

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [work, size, path] = &arguments[..] else {
        bail!("usage: bench-cli-peer read|libdeflate BYTES FILE");
    };
    let size: usize = size
        .parse()
        .with_context(|| format!("not a size: {size}"))?;
    let mut memory = vec![0; size + PAGE - 1];
    let start = memory.as_ptr().align_offset(PAGE);
    let buffer = &mut memory[start..][..size];
    let mut file = File::open(path).with_context(|| format!("cannot open {path}"))?;
    let update = match work.as_str() {
        "read" => |sum, _: &[u8]| sum,
        "libdeflate" => libdeflate,
        _ => bail!("neither read nor libdeflate: {work}"),
    };
    let mut sum = 1;
    loop {
        match file
            .read(buffer)
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
    // SAFETY: The function reads the data.
    unsafe { libdeflate_sys::libdeflate_adler32(sum, data.as_ptr().cast(), data.len()) }
}
