// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Many inputs in turn, on every backend that opens here.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use adler32::file::Options;
use adler32::processor;
use adler32::Backend;
use adler32::BackendKind;
use adler32::Error;
use nix::libc;
use nix::unistd::pipe;
use tempfile::tempdir;
use tempfile::NamedTempFile;

/// A file that cannot be read.
struct Bad;

impl Read for Bad {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("bad sector"))
    }
}

/// Returns a few bytes at a time, with an interrupted read before each.
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

fn open_backends() -> Vec<Backend> {
    let backends: Vec<_> = BackendKind::ALL
        .into_iter()
        .filter_map(|kind| Backend::open(kind).ok())
        .collect();
    assert_eq!(backends.last().map(Backend::kind), Some(BackendKind::Cpu));
    backends
}

fn data(len: u32) -> Vec<u8> {
    (0..len).map(|i| (i / 3) as u8).collect()
}

#[test]
fn sums_one_input_after_the_other() {
    let long = data(1_000_003);
    for mut backend in open_backends() {
        for data in [&b"Wikipedia"[..], b"", &long, b"abc"] {
            assert_eq!(backend.checksum(data).unwrap(), processor::sum(data));
            let slow = Slow {
                data,
                interrupted: false,
            };
            assert_eq!(backend.checksum(slow).unwrap(), processor::sum(data));
        }
    }
}

#[test]
fn a_failed_read_does_not_spoil_the_next_sum() {
    for mut backend in open_backends() {
        let error = backend.checksum(b"half".chain(Bad)).unwrap_err();
        assert!(matches!(error, Error::Read(_)));
        assert_eq!(error.to_string(), "bad sector");
        let sum = backend.checksum(&b"abc"[..]).unwrap();
        assert_eq!((sum.checksum.value(), sum.length), (0x024d_0127, 3));
    }
}

#[test]
fn the_first_is_the_device_or_the_processor() {
    let device = open_backends()[0].kind() == BackendKind::Device;
    let expected = if device {
        BackendKind::Device
    } else {
        BackendKind::Cpu
    };
    assert_eq!(Backend::first().kind(), expected);
}

/// Returns a file of `data` with its position at the start.
fn file_of(data: &[u8]) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), data).unwrap();
    file
}

#[test]
fn sums_one_file_after_the_other() {
    let long = data(40_000_001);
    for mut backend in open_backends() {
        for len in [long.len(), 0, 1, 131_071, 131_072, 131_073, 1_000_003, 4096] {
            let mut file = file_of(&long[..len]);
            let sum = backend.checksum_file(&file, Options::default()).unwrap();
            assert_eq!(sum, processor::sum(&long[..len]));
            assert_eq!(file.stream_position().unwrap(), len as u64);
        }
    }
}

#[test]
fn begins_at_the_position_that_all_duplicates_share() {
    let data = data(500_000);
    for mut backend in open_backends() {
        let file = file_of(&data);
        let mut shared = file.as_file().try_clone().unwrap();
        for (from, rest) in [
            (1, &data[1..]),
            (300_000, &data[300_000..]),
            (500_000, b""),
            (600_000, b""),
        ] {
            shared.seek(SeekFrom::Start(from)).unwrap();
            assert_eq!(
                backend.checksum_file(&file, Options::default()).unwrap(),
                processor::sum(rest)
            );
            assert_eq!(shared.stream_position().unwrap(), from.max(500_000));
        }
    }
}

#[test]
fn sums_files_of_size_0_that_are_not_empty() {
    let version = fs::read("/proc/version").unwrap();
    for mut backend in open_backends() {
        let file = File::open("/proc/version").unwrap();
        assert_eq!(
            backend.checksum_file(file, Options::default()).unwrap(),
            processor::sum(&version)
        );
    }
}

#[test]
fn files_that_cannot_be_read() {
    let directory = tempdir().unwrap();
    let written = File::create(directory.path().join("written")).unwrap();
    written.set_len(1_000_000).unwrap();
    let (empty, _writer) = pipe().unwrap();
    let path = format!("/proc/self/fd/{}", empty.as_raw_fd());
    let empty = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .unwrap();
    let directory = File::open(&directory).unwrap();
    for mut backend in open_backends() {
        for (file, message) in [
            (&directory, "Is a directory"),
            (&written, "Bad file descriptor"),
            (&empty, "Resource temporarily unavailable"),
        ] {
            let error = backend.checksum_file(file, Options::default()).unwrap_err();
            assert!(matches!(error, Error::Read(_)));
            assert_eq!(error.to_string(), message);
        }
        let file = file_of(b"abc");
        assert_eq!(
            backend.checksum_file(&file, Options::default()).unwrap(),
            processor::sum(b"abc")
        );
    }
}
