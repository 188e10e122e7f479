// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Writes of memory that is partly missing, writes that are too long for one call, and writes by
//! processes that are killed.

use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use libtest_mimic::Completion;
use nix::errno::Errno;
use nix::sys::mman::MapFlags;
use nix::sys::mman::ProtFlags;
use nix::sys::pthread;

use crate::leaks;
use adler32::uapi::MAX_BUFFER;
use adler32_tests::device;
use adler32_tests::device::Device;
use adler32_tests::held::Held;
use adler32_tests::memory;
use adler32_tests::memory::page_size;
use adler32_tests::memory::Map;
use adler32_tests::memory::FOREIGN_ADDRESSES;
use adler32_tests::module;
use adler32_tests::process;
use adler32_tests::process::fork;
use adler32_tests::reference;
use adler32_tests::trials;
use adler32_tests::usage::meminfo;
use adler32_tests::usage::Taken;
use adler32_tests::ErrnoOf;

trials!(after module::ensure_loaded:
    write_from_nowhere,
    write_into_a_hole,
    write_into_unmapped_memory,
    write_behind_the_end_of_a_file,
    write_continues_behind_a_repaired_hole,
    writev_with_a_hole_at_every_split,
    writev_of_many_pieces,
    read_into_nowhere,
    write_of_more_than_two_gibibytes,
    signals_do_not_cut_a_write,
    killed_in_a_long_write,
    killed_in_a_long_update,
    killed_in_a_long_digest,
    killed_in_a_held_write,
    opening_and_closing_leaks_nothing,
);

fn write_from_nowhere() {
    let file = device::private();
    memory::assert_unreadable_is_refused(|address, len| memory::write_from(&file, address, len));
    assert_eq!(file.state(), device::EMPTY);
    assert_eq!(
        memory::write_from(&file, 1, usize::MAX).errno(),
        Errno::EFAULT
    );
}

/// Writes `len` bytes in a loop, as programs do, of which only the first exist: `data`. Checks that
/// the calls consume all of `data` and nothing else, and that each count agrees with the session.
#[track_caller]
fn assert_stops_after(data: &[u8], address: usize, len: usize) {
    let file = device::private();
    let mut done = 0;
    while done < data.len() {
        let count = memory::write_from(&file, address + done, len - done)
            .unwrap_or_else(|error| panic!("{done} of {} bytes: {error}", data.len()));
        assert!(count > 0);
        done += count;
        assert!(
            done <= data.len(),
            "{done} bytes consumed, but only {} exist",
            data.len()
        );
        assert_eq!(file.state(), device::state_of(&data[..done]));
    }
    let refused = memory::write_from(&file, address + done, len - done);
    assert_eq!(refused.errno(), Errno::EFAULT);
    assert_eq!(file.state(), device::state_of(data));
}

const SIZES: [usize; 15] = [
    1, 2, 15, 100, 4095, 4096, 4097, 8192, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 200_000,
];

fn write_into_a_hole() {
    let data = reference::noise(200_000, 40);
    for size in SIZES {
        for too_far in [1, 4096, 1 << 20] {
            let (map, offset) = Map::before_hole(&data[..size]);
            assert_stops_after(&data[..size], map.address() + offset, size + too_far);
        }
    }
    // The hole is in the middle of the mapping.
    let mut map = Map::new(8 * page_size());
    map.bytes().copy_from_slice(&data[..8 * page_size()]);
    map.protect(5 * page_size()..6 * page_size(), ProtFlags::PROT_NONE);
    assert_stops_after(
        &data[77..5 * page_size()],
        map.address() + 77,
        8 * page_size() - 77,
    );
}

fn write_into_unmapped_memory() {
    let data = reference::noise(200_000, 41);
    for size in SIZES {
        let mut map = Map::new(size.next_multiple_of(page_size()) + page_size());
        let end = map.size() - page_size();
        map.bytes()[end - size..end].copy_from_slice(&data[..size]);
        map.unmap(end..end + page_size());
        let file = device::private();
        let count = memory::write_from(&file, map.address() + end - size, size + 1);
        let count = count.expect("write");
        assert!(
            (1..=size).contains(&count),
            "{count} bytes consumed, but only {size} exist"
        );
        assert_eq!(file.state(), device::state_of(&data[..count]));
    }
}

fn write_behind_the_end_of_a_file() {
    // A program that reads these pages gets SIGBUS.
    let data = reference::noise(3 * page_size(), 42);
    let path = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(path.path(), &data).expect("write");
    let map = Map::new(data.len());
    map.map_file(0..data.len(), &path, 0, MapFlags::MAP_SHARED);
    nix::unistd::truncate(path.path(), page_size() as i64).expect("truncate");
    assert_stops_after(&data[..page_size()], map.address(), data.len());
}

fn write_continues_behind_a_repaired_hole() {
    let data = reference::noise(6 * page_size(), 43);
    let mut map = Map::new(data.len());
    map.bytes().copy_from_slice(&data);
    map.protect(3 * page_size()..4 * page_size(), ProtFlags::PROT_NONE);
    let file = device::private();
    let mut done = memory::write_from(&file, map.address(), data.len()).expect("write");
    map.protect(3 * page_size()..4 * page_size(), ProtFlags::PROT_READ);
    done += memory::write_from(&file, map.address() + done, data.len() - done).expect("write");
    assert_eq!(done, data.len());
    assert_eq!(file.state(), device::state_of(&data));
}

fn writev_with_a_hole_at_every_split() {
    let data = reference::noise(40_000, 44);
    let there = data.as_ptr() as usize;
    let hole = Map::new(page_size());
    hole.protect(0..page_size(), ProtFlags::PROT_NONE);
    let splits = (0..200).chain([4095, 4096, 4097, 16_383, 16_384, 16_385, 32_768, 39_999]);
    let file = device::private();
    for split in splits {
        for pieces in [
            vec![
                (there, split),
                (hole.address(), 100),
                (there + split, data.len() - split),
            ],
            vec![
                (there, split / 2),
                (there + split / 2, split - split / 2),
                (hole.address(), 1),
            ],
            vec![
                (0, 0),
                (there, split),
                (hole.address(), 0),
                (0, 5000),
                (there, 1),
            ],
        ] {
            file.reset().expect("RESET");
            match memory::writev_from(&file, &pieces) {
                Err(error) => assert_eq!((split, Err::<(), _>(error).errno()), (0, Errno::EFAULT)),
                Ok(count) => assert_eq!(count, split, "{pieces:x?}"),
            }
            let expected = device::state_of(&data[..split]);
            assert_eq!(file.state(), expected, "{pieces:x?}");
        }
    }
}

fn writev_of_many_pieces() {
    let data = reference::noise(1024 * 1025 / 2, 45);
    let mut start = data.as_ptr() as usize;
    let pieces: Vec<_> = (0..1024)
        .map(|len| {
            let piece = (start, len);
            start += len;
            piece
        })
        .collect();
    let total: usize = pieces.iter().map(|piece| piece.1).sum();
    let file = device::private();
    assert_eq!(memory::writev_from(&file, &pieces).expect("writev"), total);
    assert_eq!(file.state(), device::state_of(&data[..total]));
}

fn read_into_nowhere() {
    let file = device::private();
    file.write_whole(b"Wikipedia");
    for address in FOREIGN_ADDRESSES.into_iter().chain([0, 1]) {
        let refused = memory::read_into(&file, address as usize, 9);
        assert_eq!(refused.errno(), Errno::EFAULT, "{address:#x}");
    }
    // The failed reads left the position at 0. A read before a hole returns what fits.
    let (mut map, offset) = Map::before_hole(&[0; 4]);
    let count = memory::read_into(&file, map.address() + offset, 9).expect("read");
    assert_eq!(
        &map.bytes()[offset..offset + count],
        &b"11e60398\n"[..count]
    );
    assert_eq!(device::read_rest(&file).as_bytes(), &b"11e60398\n"[count..]);
}

/// More than one call transfers.
const LARGE: usize = (2 << 30) + 12_345;

fn write_of_more_than_two_gibibytes() {
    let data = Map::repeated(0xff, LARGE);
    let file = device::private();
    file.write_whole(b"abc");
    let start = reference::adler(b"abc");
    let mut taken = Taken::from_now();
    let mut last = 0;
    let watch = || {
        taken.measure();
        let state = device::fdinfo_state("self", file.as_raw_fd());
        assert!(state.length >= last, "the length became smaller");
        last = state.length;
        let value = reference::append_repeated(start, 0xff, last - 3);
        assert_eq!(state.value, value, "at {last} bytes");
        thread::sleep(Duration::from_millis(100));
    };
    let counts = process::alongside(watch, || {
        let mut written = 0;
        let mut counts = Vec::new();
        while written < LARGE {
            let count = memory::write_from(&file, data.address() + written, LARGE - written);
            counts.push(count.expect("write"));
            written += counts[counts.len() - 1];
        }
        counts
    });
    // `MAX_RW_COUNT` of the kernel.
    let most = i32::MAX as usize & !(page_size() - 1);
    assert_eq!(counts, [most, LARGE - most]);
    // The page tables of the data take 4 MiB.
    taken.assert_below(32 << 10, 8 << 10);
    let value = reference::append_repeated(start, 0xff, LARGE as u64);
    assert_eq!(file.state(), device::state(value, LARGE as u64 + 3));
    assert_eq!(file.text(), reference::text(value));
}

fn signals_do_not_cut_a_write() {
    const LEN: usize = 64 << 20;
    let data = Map::repeated(0xff, LEN);
    let file = device::private();
    let writer = pthread::pthread_self();
    let interrupt = || {
        process::interrupt(writer);
        thread::sleep(Duration::from_millis(5));
    };
    process::alongside(interrupt, || {
        let written = memory::write_from(&file, data.address(), LEN);
        assert_eq!(written.expect("write"), LEN);
        file.update_from(data.address() as u64, LEN as u64)
            .expect("UPDATE");
    });
    let value = reference::append_repeated(1, 0xff, 2 * LEN as u64);
    assert_eq!(file.state(), device::state(value, 2 * LEN as u64));
}

/// Returns whether a process has spent some system time, which only its ioctl takes.
fn is_busy(pid: &str, _: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the child lives");
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let system_ticks: u64 = fields[12].parse().expect("a number");
    system_ticks >= 10
}

fn killed_in_a_long_write() {
    let data = Map::repeated(0xff, LARGE);
    let slot = device::kill_during(
        |file| drop(memory::write_from(file, data.address(), LARGE)),
        |pid, fd| device::fdinfo_state(pid, fd).length > 1 << 20,
    );
    assert!(
        slot.length < LARGE as u64,
        "the write ended before the kill"
    );
    let length = slot.length - 3;
    let value = reference::append_repeated(reference::adler(b"abc"), 0xff, length);
    assert_eq!(slot.value, value, "after {length} bytes");
}

fn killed_in_a_long_update() {
    let data = Map::repeated(0xff, MAX_BUFFER as usize);
    let slot = device::kill_during(
        |file| while file.update_from(data.address() as u64, MAX_BUFFER).is_ok() {},
        is_busy,
    );
    let length = slot.length - 3;
    assert_eq!(length % MAX_BUFFER, 0, "UPDATE is all or none");
    let value = reference::append_repeated(reference::adler(b"abc"), 0xff, length);
    assert_eq!(slot.value, value, "after {length} bytes");
}

fn killed_in_a_long_digest() {
    let data = Map::repeated(0xff, MAX_BUFFER as usize);
    let slot = device::kill_during(
        |file| {
            while file
                .digest_from(1, data.address() as u64, MAX_BUFFER)
                .is_ok()
            {}
        },
        is_busy,
    );
    assert_eq!(slot, device::state_of(b"abc"));
}

fn killed_in_a_held_write() {
    // The writer is killed while it waits for memory, not between two pieces.
    let data = reference::noise(70 * page_size(), 46);
    device::publish(b"");
    let mut child = fork(|link| {
        let held = Held::new(&data, 40);
        let file = device::replace();
        thread::scope(|scope| {
            scope.spawn(|| memory::write_from(&file, held.address(), held.size()));
            let _stopped = held.wait();
            link.notify();
            link.wait();
        });
    });
    child.link().wait();
    child.kill_promptly();
    let slot = device::slot();
    assert!(slot.length <= 40 * page_size() as u64, "{slot:?}");
    assert_eq!(slot, device::state_of(&data[..slot.length as usize]));
    module::unload();
}

fn opening_and_closing_leaks_nothing() -> Completion {
    // Kernels with kmemleak also have KASAN.
    if leaks::kmemleak().is_some() {
        return Completion::ignored_with(
            "KASAN keeps freed memory for a while; leaks::no_memory_is_lost replaces this test",
        );
    }
    let cycle = || {
        for _ in 0..500 {
            let file = device::private();
            file.write_whole(b"abc");
            assert_eq!(file.text(), "024d0127\n");
            let _ = file.update_from(0, 1);
            device::publish(b"abc");
            let _ = file.update_from(1, 1 << 20);
            let _ = file.digest_from(1, 1, 1 << 20);
            let _ = memory::write_from(&file, 1, 1 << 20);
        }
    };
    // The first round fills the kernel's caches.
    cycle();
    let grow = || {
        let before = meminfo("SUnreclaim");
        for _ in 0..6 {
            cycle();
        }
        meminfo("SUnreclaim") - before
    };
    // The smaller of two, because other parts of the kernel allocate memory now and then.
    let grown = grow().min(grow());
    // A leak of 64 bytes in each of 3,000 rounds would take 187 KiB, and a leaked buffer far more.
    assert!(grown < 150, "the kernel uses {grown} KiB more");
    Completion::Completed
}
