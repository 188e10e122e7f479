// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Files with holes, and files of which a part is in the page cache.

use std::fs::File;
use std::io::Seek;
use std::io::Write;
use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use adler32::file;
use adler32::file::Options;
use adler32::file::Way;
use adler32::file::PARALLEL_FROM;
use adler32::processor;
use adler32::Backend;
use adler32::BackendKind;
use adler32::Sum;
use proptest::collection::vec;
use proptest::prelude::*;
use rustix::fs::Advice;
use tempfile::tempfile_in;

const MIB: u64 = 1024 * 1024;

/// Returns an empty file on a disk. `/tmp` may be in memory.
fn on_disk() -> File {
    tempfile_in(env!("CARGO_TARGET_TMPDIR")).expect("a file")
}

fn noise(len: u64, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let byte = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    (0..len).map(byte).collect()
}

fn options(threads: usize, direct: bool) -> Options<'static> {
    Options {
        threads: NonZero::new(threads),
        direct,
        ..Options::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Islands of data in a hole, which may touch or overlap, and a range of the file.
    #[test]
    fn holes_are_zeros(
        len in 0..3 * PARALLEL_FROM,
        islands in vec((0..3 * PARALLEL_FROM, 1..2 * MIB), 0..6),
        range in (0..3 * PARALLEL_FROM, 0..3 * PARALLEL_FROM),
        threads in 1..4_usize,
    ) {
        let file = on_disk();
        file.set_len(len).unwrap();
        let mut data = vec![0; len as usize];
        for (number, (at, length)) in islands.into_iter().enumerate() {
            let at = at.min(len);
            let island = noise(length.min(len - at), number as u64);
            file.write_all_at(&island, at).unwrap();
            data[at as usize..][..island.len()].copy_from_slice(&island);
        }
        let end = range.1.min(len);
        let start = range.0.min(end);
        let part = processor::sum(&data[start as usize..end as usize]);
        let whole = processor::sum(&data);
        for direct in [false, true] {
            let options = options(threads, direct);
            for kind in BackendKind::ALL {
                let Ok(mut backend) = Backend::open(kind) else {
                    continue;
                };
                (&file).rewind().unwrap();
                prop_assert_eq!(backend.checksum_file(&file, options).unwrap(), whole);
                prop_assert_eq!((&file).stream_position().unwrap(), len);
                let found = backend.checksum_range(&file, start..end, options).unwrap();
                prop_assert_eq!(found, part);
            }
        }
    }
}

/// Reading a hole of 1 TiB would take minutes.
#[test]
fn holes_cost_nothing() {
    const LEN: u64 = 1024 * 1024 * MIB;
    let file = on_disk();
    file.set_len(LEN).unwrap();
    let data = noise(MIB, 7);
    for at in [0, LEN / 3, LEN - MIB] {
        file.write_all_at(&data, at).unwrap();
    }
    let data = processor::sum(&data);
    let expected = data
        .combine(Sum::zeros(LEN / 3 - MIB))
        .combine(data)
        .combine(Sum::zeros(LEN - 2 * MIB - LEN / 3))
        .combine(data);
    let start = Instant::now();
    for threads in [1, 2] {
        (&file).rewind().unwrap();
        assert_eq!(
            file::checksum(&file, options(threads, false)).unwrap(),
            expected
        );
    }
    let rest = file::checksum_range(&file, MIB..u64::MAX, options(2, false)).unwrap();
    assert_eq!(data.combine(rest), expected);
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

/// Returns how many bytes of a file are in the page cache.
fn resident(file: &File) -> usize {
    let page = rustix::param::page_size();
    let len = file.metadata().unwrap().size() as usize;
    let mut pages = vec![0_u8; len.div_ceil(page)];
    // SAFETY: The mapping is as long as the file, and `pages` has a byte for each of its pages.
    unsafe {
        let map = nix::libc::mmap(
            std::ptr::null_mut(),
            len,
            nix::libc::PROT_READ,
            nix::libc::MAP_SHARED,
            std::os::fd::AsRawFd::as_raw_fd(file),
            0,
        );
        assert_ne!(map, nix::libc::MAP_FAILED);
        assert_eq!(nix::libc::mincore(map, len, pages.as_mut_ptr()), 0);
        nix::libc::munmap(map, len);
    }
    pages.iter().filter(|page| **page & 1 == 1).count() * page
}

fn drop_cache(file: &File, at: u64, len: u64) {
    file.sync_all().unwrap();
    rustix::fs::fadvise(file, at, std::num::NonZeroU64::new(len), Advice::DontNeed).unwrap();
}

/// Returns the sum of a file, and how many bytes came each way.
fn sum_with_ways(file: &File, options: Options<'_>) -> (Sum, impl Fn(Way) -> u64) {
    let bytes = Way::ALL.map(|_| AtomicU64::new(0));
    let count = |way: Way, length| {
        bytes[way as usize].fetch_add(length, Relaxed);
    };
    let options = Options {
        progress: Some(&count),
        ..options
    };
    let mut start = file;
    // A pipe has no position.
    let _ = start.rewind();
    let sum = file::checksum(file, options).unwrap();
    let bytes = bytes.map(AtomicU64::into_inner);
    assert_eq!(bytes.iter().sum::<u64>(), sum.length);
    (sum, move |way| bytes[way as usize])
}

/// Returns whether parts of a file can be read past the page cache: the kernel counts the pages
/// that are in it (Linux 6.5), and the file system supports direct reads and reads that do not
/// wait.
fn can_bypass(file: &File) -> bool {
    const SYS_CACHESTAT: nix::libc::c_long = 451;
    let (range, mut counts) = ([0_u64, 1], [0_u64; 5]);
    let fd = std::os::fd::AsRawFd::as_raw_fd(file);
    // SAFETY: The kernel reads two numbers and writes five.
    let counted = unsafe { nix::libc::syscall(SYS_CACHESTAT, fd, &range, &mut counts, 0) } == 0;
    let flags = rustix::fs::StatxFlags::DIOALIGN;
    let statx = rustix::fs::statx(file, "", rustix::fs::AtFlags::EMPTY_PATH, flags).unwrap();
    let mut buffers = [std::io::IoSliceMut::new(&mut [])];
    let nowait = rustix::io::ReadWriteFlags::NOWAIT;
    let nowait = rustix::io::preadv2(file, &mut buffers, 0, nowait).is_ok();
    let can = counted && nowait && (1..=4096).contains(&statx.stx_dio_offset_align);
    if !can {
        println!("skipped: the kernel or the file system cannot bypass the page cache in parts");
    }
    can
}

/// Reads part of a file into the page cache. The kernel reads nothing else ahead.
fn cache(file: &File, at: u64, len: u64) {
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file));
    let file = File::open(path).unwrap();
    rustix::fs::fadvise(&file, 0, None, Advice::Random).unwrap();
    file.read_exact_at(&mut vec![0; len as usize], at).unwrap();
}

#[test]
fn files_of_which_a_part_is_cached() {
    let data = noise(3 * PARALLEL_FROM + 77, 3);
    let file = on_disk();
    file.write_all_at(&data, 0).unwrap();
    let can_bypass = can_bypass(&file);
    for (step, first) in [
        (MIB, 0),
        (2 * MIB, 0),
        (2 * MIB, 2 * MIB),
        (8 * MIB, 8 * MIB),
    ] {
        // Of pieces of 2 MiB, none is read directly that is cached.
        let uncached = (3 * PARALLEL_FROM).div_euclid(2) + 77;
        for threads in [1, 2, 4] {
            let direct = if threads == 1 || step == MIB {
                0..78
            } else {
                uncached..uncached + 1
            };
            let read_directly = || {
                drop_cache(&file, 0, 0);
                for at in (first..3 * PARALLEL_FROM).step_by(2 * step as usize) {
                    cache(&file, at, step);
                }
                let (sum, ways) = sum_with_ways(&file, options(threads, false));
                assert_eq!(sum, processor::sum(&data));
                let found = ways(Way::Direct);
                if can_bypass {
                    let case = (threads, step, first);
                    assert!(found < direct.end, "{found}: {case:?}");
                }
                found
            };
            // The kernel may drop a cached page. To read it again, it reads others ahead, and then
            // less is read directly.
            let found = (0..3).any(|_| direct.contains(&read_directly()));
            assert!(found || !can_bypass, "{:?}", (threads, step, first));
        }
    }
}

#[test]
fn long_files_on_a_disk_do_not_enter_the_page_cache() {
    let data = noise(2 * PARALLEL_FROM + 77, 4);
    let file = on_disk();
    file.write_all_at(&data, 0).unwrap();
    if !can_bypass(&file) {
        return;
    }
    // The second time, a program has looked at the beginning, and the kernel has read ahead.
    for looked in [0, 64 * 1024] {
        let leaves_cache_as_it_was = || {
            drop_cache(&file, 0, 0);
            file.read_exact_at(&mut vec![0; looked], 0).unwrap();
            let cached = resident(&file);
            let (sum, ways) = sum_with_ways(&file, Options::default());
            assert_eq!(sum, processor::sum(&data));
            assert_eq!(ways(Way::Direct), sum.length, "{looked}");
            let left = resident(&file);
            assert!(left <= cached, "{left}: {cached}, {looked}");
            left == cached
        };
        // The kernel may drop a page between the two counts.
        assert!((0..3).any(|_| leaves_cache_as_it_was()), "{looked}");
    }
}

#[test]
fn direct_reads_leave_the_page_cache_as_it_was() {
    let data = noise(2 * PARALLEL_FROM + 77, 5);
    let file = on_disk();
    file.write_all_at(&data, 0).unwrap();
    drop_cache(&file, 0, data.len() as u64);
    let cold = resident(&file);
    if cold >= data.len() / 2 {
        println!("skipped: files in this directory are always in memory");
        return;
    }
    let sum = |threads, direct| {
        (&file).rewind().unwrap();
        assert_eq!(
            file::checksum(&file, options(threads, direct)).unwrap(),
            processor::sum(&data)
        );
    };
    sum(2, true);
    assert_eq!(resident(&file), cold);
    sum(1, false);
    let warm = resident(&file);
    assert!(
        warm >= data.len(),
        "only {warm} bytes are in the page cache"
    );
    sum(2, true);
    assert_eq!(resident(&file), warm);
}

/// A spinning disk takes about 8 ms for each read, however short it is.
#[test]
fn direct_reads_are_long() {
    let data = noise(3 * PARALLEL_FROM, 6);
    let file = on_disk();
    file.write_all_at(&data, 0).unwrap();
    let reads = AtomicU64::new(0);
    let count = |_, _| {
        reads.fetch_add(1, Relaxed);
    };
    let options = Options {
        progress: Some(&count),
        ..options(4, true)
    };
    let sum = file::checksum(&file, options).unwrap();
    assert_eq!(sum, processor::sum(&data));
    assert_eq!(reads.into_inner(), sum.length / (2 * MIB));
}

#[test]
fn reports_where_short_files_and_pipes_were() {
    let data = noise(100_000, 9);
    let ways = |file: &File| {
        let (sum, ways) = sum_with_ways(file, Options::default());
        assert_eq!(sum, processor::sum(&data));
        Way::ALL.map(|way| ways(way) == sum.length)
    };
    let all = |wanted| Way::ALL.map(|way| way == wanted);

    let file = on_disk();
    file.write_all_at(&data, 0).unwrap();
    assert_eq!(ways(&file), all(Way::Cache));
    drop_cache(&file, 0, 0);
    if resident(&file) == 0 {
        (&file).rewind().unwrap();
        assert_ne!(ways(&file), all(Way::Cache));
    } else {
        println!("skipped: files in this directory are always in memory");
    }

    let (reader, writer) = nix::unistd::pipe().unwrap();
    let mut writer = File::from(writer);
    let data_written = data.clone();
    let writing = std::thread::spawn(move || writer.write_all(&data_written));
    let came = ways(&File::from(reader));
    writing.join().unwrap().unwrap();
    assert!(!came[Way::Disk as usize], "{came:?}");
}
