// SPDX-License-Identifier: GPL-2.0 OR MIT

//! One engine over many inputs, for every door that this machine has open.

use std::io;
use std::io::Read;

use adler32::Engine;
use adler32::Error;
use adler32::Hasher;
use adler32::Via;

/// A file that cannot be read.
struct Bad;

impl Read for Bad {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("bad sector"))
    }
}

/// Gives a few bytes at a time, interrupted between them.
struct Slow<'a> {
    data: &'a [u8],
    interrupted: bool,
}

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupted = !self.interrupted;
        if self.interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let limit = buffer.len().min(7919);
        self.data.read(&mut buffer[..limit])
    }
}

fn open_engines() -> Vec<Engine> {
    let engines: Vec<_> = Via::ALL
        .into_iter()
        .filter_map(|via| Engine::open(via).ok())
        .collect();
    assert_eq!(engines.last().map(Engine::via), Some(Via::Cpu));
    engines
}

#[test]
fn sums_one_input_after_the_other() {
    let long: Vec<u8> = (0..1_000_003u32).map(|i| (i / 3) as u8).collect();
    for mut engine in open_engines() {
        for data in [&b"Wikipedia"[..], b"", &long, b"abc"] {
            let mut hasher = Hasher::new();
            hasher.update(data);
            assert_eq!(engine.checksum(data).unwrap(), hasher.sum());
            let slow = Slow {
                data,
                interrupted: false,
            };
            assert_eq!(engine.checksum(slow).unwrap(), hasher.sum());
        }
    }
}

#[test]
fn a_failed_read_does_not_spoil_the_next_sum() {
    for mut engine in open_engines() {
        let error = engine.checksum(b"half".chain(Bad)).unwrap_err();
        assert!(matches!(error, Error::Read(_)));
        assert_eq!(error.to_string(), "bad sector");
        let sum = engine.checksum(&b"abc"[..]).unwrap();
        assert_eq!((sum.checksum.value(), sum.length), (0x024d_0127, 3));
    }
}

#[test]
fn the_first_is_one_that_opens() {
    let via = Engine::first().via();
    assert_ne!(via, Via::Ioctl);
    assert!(open_engines().iter().any(|engine| engine.via() == via));
}
