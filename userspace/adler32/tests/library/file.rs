// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Files and parts of files, summed by one thread and by several.

use std::fs;
use std::fs::File;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::num::NonZero;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;

use adler32::file;
use adler32::file::Options;
use adler32::file::PARALLEL_FROM;
use adler32::Error;
use adler32::Sum;
use nix::sys::memfd::memfd_create;
use nix::sys::memfd::MFdFlags;
use nix::unistd::pipe;
use tempfile::tempdir;
use tempfile::tempfile;

use crate::common::theirs;
use crate::common::Others;

const MIB: u64 = 1024 * 1024;

/// `None` stands for the number of processors.
const THREADS: [Option<NonZero<usize>>; 4] =
    [None, NonZero::new(1), NonZero::new(2), NonZero::new(5)];

fn options(threads: Option<NonZero<usize>>) -> Options<'static> {
    Options {
        threads,
        ..Options::default()
    }
}

fn checksum(file: impl AsFd, threads: Option<NonZero<usize>>) -> Result<Sum, Error> {
    file::checksum(file, options(threads))
}

fn checksum_range(
    file: impl AsFd,
    range: Range<u64>,
    threads: Option<NonZero<usize>>,
) -> Result<Sum, Error> {
    file::checksum_range(file, range, options(threads))
}

/// Returns bytes in which no two ranges of some length are the same.
fn data(len: u64) -> Vec<u8> {
    (0..len as u32)
        .map(|i| (i.wrapping_mul(i | 1).wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

fn file_of(data: &[u8]) -> File {
    let mut file = tempfile().expect("a file");
    file.write_all(data).expect("a file of the data");
    file.rewind().expect("a file with a position");
    file
}

#[track_caller]
fn assert_covers(sum: Result<Sum, Error>, data: &[u8]) {
    let sum = sum.expect("a checksum");
    assert_eq!(sum.length, data.len() as u64);
    assert_eq!(sum.checksum.value(), theirs(1, data));
}

#[test]
fn whole_files() {
    let data = data(3 * PARALLEL_FROM);
    for len in [
        0,
        1,
        MIB / 8,
        MIB / 8 + 1,
        9 * MIB + 1,
        PARALLEL_FROM - 1,
        PARALLEL_FROM,
        PARALLEL_FROM + 1,
        PARALLEL_FROM + 4 * MIB - 1,
        PARALLEL_FROM + 4 * MIB,
        3 * PARALLEL_FROM - 77,
    ] {
        let data = &data[..len as usize];
        let mut file = file_of(data);
        for threads in THREADS {
            file.rewind().unwrap();
            assert_covers(checksum(&file, threads), data);
            assert_eq!(file.stream_position().unwrap(), len);
            assert_covers(checksum(&file, threads), b"");
        }
    }
}

#[test]
fn from_the_position_on() {
    let data = data(2 * PARALLEL_FROM + 5);
    let mut file = file_of(&data);
    for from in [1, PARALLEL_FROM - 3, PARALLEL_FROM + 6] {
        for threads in THREADS {
            file.seek(SeekFrom::Start(from)).unwrap();
            assert_covers(checksum(&file, threads), &data[from as usize..]);
            assert_eq!(file.stream_position().unwrap(), data.len() as u64);
        }
    }
}

#[test]
fn ranges() {
    const LEN: u64 = 2 * PARALLEL_FROM + 12_345;
    let data = data(LEN);
    let mut file = file_of(&data);
    file.seek(SeekFrom::Start(17)).unwrap();
    let there = |range: &Range<u64>| {
        let end = range.end.min(LEN);
        &data[range.start.min(end) as usize..end as usize]
    };
    for range in [
        0..0,
        0..1,
        7..LEN - 1,
        0..LEN,
        1..u64::MAX,
        MIB..MIB + PARALLEL_FROM,
        LEN - 1..LEN,
        LEN - 1..LEN + 1,
        LEN..LEN + 1,
        LEN + PARALLEL_FROM..u64::MAX,
        1 << 62..u64::MAX,
        Range { start: 9, end: 3 },
    ] {
        for threads in THREADS {
            assert_covers(checksum_range(&file, range.clone(), threads), there(&range));
        }
    }
    assert_eq!(file.stream_position().unwrap(), 17);
}

#[test]
fn parts_make_the_whole() {
    let data = data(PARALLEL_FROM + 4321);
    let file = file_of(&data);
    for step in [1_234_567, PARALLEL_FROM] {
        let whole = (0..data.len() as u64)
            .step_by(step as usize)
            .map(|start| checksum_range(&file, start..start + step, None))
            .try_fold(Sum::EMPTY, |whole, part| Ok(whole.combine(part?)));
        assert_covers(whole, &data);
    }
}

#[test]
fn many_files_at_once() {
    let data = data(2 * PARALLEL_FROM);
    let lens = [3, 2 * PARALLEL_FROM, 100_000, PARALLEL_FROM, 0, 4096];
    thread::scope(|scope| {
        for len in lens {
            let data = &data[..len as usize];
            scope.spawn(|| {
                for threads in THREADS {
                    assert_covers(checksum(file_of(data), threads), data);
                }
            });
        }
    });
}

/// A file of 5 GiB in memory, with bytes around every offset at which 32 bits may be too few. Its
/// holes take no memory.
#[test]
fn holes_and_more_than_four_gib() {
    const LEN: u64 = 5 * 1024 * MIB + 3;
    let file = File::from(memfd_create("sparse", MFdFlags::MFD_CLOEXEC).unwrap());
    file.set_len(LEN).unwrap();
    let islands = [0, 2048 * MIB - 50, 4096 * MIB - 50, LEN - 100];
    let mut others = Others::new(1);
    let zeros = vec![0; MIB as usize];
    let mut at = 0;
    for island in islands {
        while at < island {
            let len = (island - at).min(MIB);
            others.write(&zeros[..len as usize]);
            at += len;
        }
        let bytes = data(100);
        file.write_all_at(&bytes, island).unwrap();
        others.write(&bytes);
        at += 100;
    }
    for threads in THREADS {
        (&file).rewind().unwrap();
        let sum = checksum(&file, threads).unwrap();
        assert_eq!((sum.checksum.value(), sum.length), (others.value(), LEN));
    }
    assert_covers(checksum_range(&file, LEN - 100..u64::MAX, None), &data(100));
    assert_covers(
        checksum_range(&file, 4096 * MIB - 50..4096 * MIB + 50, None),
        &data(100),
    );
}

/// Changes a file while two threads sum it repeatedly, and sums it once more after that. Each sum
/// must cover the first bytes of the file. Returns the lengths that were found.
fn sum_while_changing(data: &[u8], start: &[u8], change: impl Fn(&File) + Sync) -> Vec<u64> {
    let file = file_of(start);
    let done = AtomicBool::new(false);
    let mut found = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            change(&file);
            done.store(true, Ordering::Release);
        });
        let threads = NonZero::new(2);
        loop {
            let last = done.load(Ordering::Acquire);
            (&file).rewind().unwrap();
            let sum = checksum(&file, threads);
            let length = sum.as_ref().expect("a checksum").length;
            assert_covers(sum, &data[..length as usize]);
            found.push(length);
            if last {
                break;
            }
        }
    });
    found
}

#[test]
fn files_that_grow() {
    let data = data(4 * PARALLEL_FROM);
    let start = PARALLEL_FROM as usize;
    let found = sum_while_changing(&data, &data[..start], |file| {
        for (number, piece) in data[start..].chunks(77_777).enumerate() {
            let at = start + number * 77_777;
            file.write_all_at(piece, at as u64).unwrap();
        }
    });
    assert!(found.is_sorted(), "{found:?}");
    assert_eq!(found.last(), Some(&(data.len() as u64)));
}

/// When a file is cut within a page or a huge page, the kernel fills the rest of the page with
/// zeros. A read that has already looked up the size finds these zeros. So the file is cut between
/// huge pages.
#[test]
fn files_that_shrink() {
    let data = data(4 * PARALLEL_FROM);
    let found = sum_while_changing(&data, &data, |file| {
        for len in (0..=data.len() as u64).rev().step_by(2 * MIB as usize) {
            file.set_len(len).unwrap();
            thread::yield_now();
        }
    });
    assert!(found.is_sorted_by(|a, b| a >= b), "{found:?}");
    assert_eq!(found.last(), Some(&0));
}

#[test]
fn pipes_and_devices() {
    let data = data(PARALLEL_FROM + 1);
    let (reader, writer) = pipe().unwrap();
    let mut writer = File::from(writer);
    thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(&data).unwrap();
            drop(writer);
        });
        assert_covers(checksum(&reader, NonZero::new(2)), &data);
    });
    assert_covers(checksum(File::open("/dev/null").unwrap(), None), b"");
    let zeros = File::open("/dev/zero").unwrap();
    assert_covers(
        checksum_range(&zeros, 5..MIB, None),
        &vec![0; MIB as usize - 5],
    );
    let version = fs::read("/proc/version").unwrap();
    assert_covers(
        checksum(File::open("/proc/version").unwrap(), None),
        &version,
    );
}

#[test]
fn reads_that_are_short() {
    // A read of this file returns less than a page at a time, however much it asks for.
    let open = || File::open("/proc/kallsyms").unwrap();
    let mut symbols = Vec::new();
    open().take(300_000).read_to_end(&mut symbols).unwrap();
    assert_covers(
        checksum_range(open(), 3..200_000, None),
        &symbols[3..200_000],
    );
    assert_covers(
        checksum_range(open(), 200_000..300_000, None),
        &symbols[200_000..],
    );
}

#[test]
fn files_that_cannot_be_read() {
    let directory = tempdir().unwrap();
    let written = File::create(directory.path().join("written")).unwrap();
    written.set_len(2 * PARALLEL_FROM).unwrap();
    let (pipe, writer) = pipe().unwrap();
    drop(writer);
    let directory = File::open(directory.path()).unwrap();
    for (sum, message) in [
        (checksum(&written, NonZero::new(3)), "Bad file descriptor"),
        (
            checksum_range(&written, 0..1, NonZero::new(3)),
            "Bad file descriptor",
        ),
        (
            checksum_range(&written, 0..u64::MAX, NonZero::new(3)),
            "Bad file descriptor",
        ),
        (checksum(&directory, NonZero::new(3)), "Is a directory"),
        (
            checksum_range(&directory, 0..1, NonZero::new(3)),
            "Is a directory",
        ),
        (checksum_range(&pipe, 0..1, NonZero::new(3)), "Illegal seek"),
        (
            checksum_range(
                File::open("/dev/zero").unwrap(),
                u64::MAX - 1..u64::MAX,
                None,
            ),
            "Invalid argument",
        ),
    ] {
        let error = sum.unwrap_err();
        assert!(matches!(error, Error::Read(_)));
        assert_eq!(error.to_string(), message);
    }
}
