// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Anonymous memory, piece by piece.

use std::io::Write;
use std::iter;

use adler32::processor;
use adler32::Adler32;
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

use crate::peer;

const KIB: usize = 1 << 10;

/// Measures memory that does not fit in the fast caches.
pub fn measure(len: usize, rounds: usize) -> Result<Group> {
    let mut map = Map::new(len);
    let data = map.bytes();
    data.copy_from_slice(&reference::noise(len, 1));
    let data = &*data;
    let sum = reference::adler(data);
    let pieces = |size| data.chunks(size);
    let contenders = vec![
        Contender::new("device, write 1 MiB", sum, device(pieces(MIB))?),
        Contender::new("device, write 64 KiB", sum, device(pieces(64 * KIB))?),
        Contender::new("device, write 4 KiB", sum, device(pieces(4 * KIB))?),
        Contender::new("AF_ALG, send 1 MiB", sum, af_alg(pieces(MIB))?),
        Contender::new("AF_ALG, send 64 KiB", sum, af_alg(pieces(64 * KIB))?),
        Contender::new("program, 1 MiB", sum, program(pieces(MIB))),
        Contender::new("program, 64 KiB", sum, program(pieces(64 * KIB))),
        Contender::new("program, at once", sum, program(pieces(len))),
        Contender::new("libdeflate, 1 MiB", sum, libdeflate(pieces(MIB))),
        Contender::limit("read of memory, 1 MiB", read(pieces(MIB))),
    ];
    let title = format!("{} MiB of memory", len / MIB);
    Group::measure(Workload::Memory, title, len, contenders, rounds)
}

/// Measures the same 1 MiB, `times` times in a pass.
pub fn measure_cached(times: usize, rounds: usize) -> Result<Group> {
    let mut map = Map::new(MIB);
    let data = map.bytes();
    data.copy_from_slice(&reference::noise(MIB, 2));
    let data = &*data;
    let sum = (0..times).fold(1, |sum, _| reference::append(sum, data));
    let pieces = || iter::repeat_n(data, times);
    let contenders = vec![
        Contender::new("device, write 1 MiB", sum, device(pieces())?),
        Contender::new("AF_ALG, send 1 MiB", sum, af_alg(pieces())?),
        Contender::new("program, 1 MiB", sum, program(pieces())),
        Contender::new("libdeflate, 1 MiB", sum, libdeflate(pieces())),
        Contender::limit("read of memory, 1 MiB", read(pieces())),
    ];
    let title = format!("1 MiB of memory, {times} times");
    Group::measure(Workload::Cached, title, times * MIB, contenders, rounds)
}

/// Pieces of data, cloned for each pass.
trait Pieces<'a>: Iterator<Item = &'a [u8]> + Clone + 'a {}

impl<'a, I: Iterator<Item = &'a [u8]> + Clone + 'a> Pieces<'a> for I {}

fn device<'a>(pieces: impl Pieces<'a>) -> Result<impl FnMut() -> Result<u32> + 'a> {
    let mut session = Session::open()?;
    Ok(move || {
        session.reset()?;
        for piece in pieces.clone() {
            session.write_all(piece).context("write")?;
        }
        Ok(session.sum()?.checksum.value())
    })
}

fn af_alg<'a>(pieces: impl Pieces<'a>) -> Result<impl FnMut() -> Result<u32> + 'a> {
    let operation = Hash::bind(DRIVER_NAME).context("bind")?.accept();
    Ok(move || {
        for piece in pieces.clone() {
            let sent = operation.send_more(piece).context("send")?;
            ensure!(
                sent == piece.len(),
                "send took {sent} bytes of {}",
                piece.len()
            );
        }
        Ok(operation.value())
    })
}

fn program<'a>(pieces: impl Pieces<'a>) -> impl FnMut() -> Result<u32> + 'a {
    move || {
        Ok(pieces
            .clone()
            .fold(Adler32::EMPTY, processor::update)
            .value())
    }
}

fn libdeflate<'a>(pieces: impl Pieces<'a>) -> impl FnMut() -> Result<u32> + 'a {
    move || Ok(pieces.clone().fold(1, peer::libdeflate))
}

fn read<'a>(pieces: impl Pieces<'a>) -> impl FnMut() -> Result<()> + 'a {
    move || {
        pieces.clone().for_each(peer::read);
        Ok(())
    }
}
