// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Memory that changes while the module reads it in place. These tests check that pages are pinned
//! at all, that few are pinned at a time, and that the checksum and the length always agree. (Every
//! test of the suite fails if pages stay pinned.)

use std::os::fd::AsRawFd;
use std::sync::Barrier;
use std::thread;

use nix::sys::mman::MapFlags;
use nix::sys::mman::MmapAdvise;
use nix::sys::mman::ProtFlags;
use nix::sys::resource;
use nix::sys::resource::UsageWho;

use adler32_tests::device;
use adler32_tests::device::Device;
use adler32_tests::files::file_of;
use adler32_tests::held::Held;
use adler32_tests::memory;
use adler32_tests::memory::page_size;
use adler32_tests::memory::Map;
use adler32_tests::module;
use adler32_tests::process;
use adler32_tests::process::fork;
use adler32_tests::reference;
use adler32_tests::trials;
use adler32_tests::usage::Pins;
use adler32_tests::usage::Taken;

trials!(after module::ensure_loaded:
    large_operations_pin,
    many_long_writes_hold_few_pages,
    inherited_memory_stays_shared,
    protected_in_mid_write,
    unmapped_in_mid_write,
    unmapped_while_it_waits,
    truncated_in_mid_write,
    discarded_in_mid_write,
    given_up_in_mid_write,
    moved_in_mid_write,
    copied_by_a_fork_in_mid_write,
    overwritten_in_mid_write,
);

/// How many pages the memory has: more than one batch.
const PAGES: usize = 256;

/// Returns the length of the memory.
fn memory_len() -> usize {
    PAGES * page_size()
}

/// Returns memory in which every byte is `byte`.
fn filled(byte: u8) -> Map {
    let mut map = Map::new(memory_len());
    map.bytes().fill(byte);
    map
}

fn large_operations_pin() {
    let map = filled(0xff);
    let (address, half) = (map.address(), memory_len() / 2);
    let file = device::private();
    let operations: [(&str, &dyn Fn()); 4] = [
        ("write", &|| {
            let written = memory::write_from(&file, address, memory_len());
            assert_eq!(written.expect("write"), memory_len());
        }),
        ("writev", &|| {
            let pieces = [(address, half), (address + half, half)];
            let written = memory::writev_from(&file, &pieces);
            assert_eq!(written.expect("writev"), memory_len());
        }),
        ("UPDATE", &|| {
            let updated = file.update_from(address as u64, memory_len() as u64);
            updated.expect("UPDATE");
        }),
        ("DIGEST", &|| {
            let digest = file.digest_from(1, address as u64, memory_len() as u64);
            digest.expect("DIGEST");
        }),
    ];
    for (name, operation) in operations {
        let before = Pins::now().acquired;
        operation();
        let acquired = Pins::now().acquired - before;
        assert!(
            acquired >= PAGES as i64,
            "{name} of {PAGES} pages pinned {acquired}"
        );
    }
}

/// How many files are written at the same time.
const FILES: usize = 64;
/// How many pages a write pins at most at a time: `PAGES` in src/chrdev/input.rs.
const BATCH: usize = 64;
/// By how many pages a count may be wrong: two processors add up to 125 at a time to two counters.
const INEXACT: usize = 2 * 2 * 125;

fn many_long_writes_hold_few_pages() {
    const LONG: usize = 1 << 30;
    let data = Map::repeated(0xff, LONG);
    let files: Vec<_> = (0..FILES).map(|_| device::private()).collect();
    let mut taken = Taken::from_now();
    let before = Pins::now().held();
    let mut most = 0;
    let address = data.address();
    let child = fork(|_| {
        // The writers would keep other threads from starting.
        let all_started = Barrier::new(FILES);
        thread::scope(|scope| {
            for file in &files {
                let all_started = &all_started;
                scope.spawn(move || {
                    all_started.wait();
                    memory::write_from(file, address, LONG)
                });
            }
        });
    });
    let length = |file: &std::fs::File| device::fdinfo_state("self", file.as_raw_fd()).length;
    process::eventually("every write is under way", || {
        taken.measure();
        most = most.max(Pins::now().held() - before);
        files.iter().all(|file| length(file) > 0)
    });
    child.kill_promptly();
    assert!(most > 0, "nothing was ever pinned");
    assert!(
        most <= (FILES * BATCH + INEXACT) as i64,
        "{most} pages were pinned"
    );
    // Each thread has a kernel stack, and the data has 2 MiB of page tables.
    taken.assert_below(32 << 10, 8 << 10);
    for file in &files {
        let state = file.state();
        assert!(
            state.length < LONG as u64,
            "the write ended before the kill"
        );
        let value = reference::append_repeated(1, 0xff, state.length);
        assert_eq!(state, device::state(value, state.length));
    }
}

/// How often to write while the memory changes, and how often at most until a write is cut short.
const ROUNDS: usize = 40;
const MOST_ROUNDS: usize = 4000;

/// Writes the memory, in which every byte is `byte`, while another thread repeats `other`, which
/// removes and restores some of it. Some of the writes must be cut short.
#[track_caller]
fn write_cut_by(address: usize, byte: u8, other: impl FnMut() + Send) {
    let mut writer = Writer::new(address, byte);
    process::alongside(other, || {
        let mut rounds = 0..MOST_ROUNDS;
        while writer.cut == 0 || rounds.start < ROUNDS {
            rounds.next().expect("no write met a hole");
            writer.write();
        }
    });
}

/// The same for an `other` that removes no memory. Every write must be whole.
#[track_caller]
fn write_whole_alongside(address: usize, byte: u8, other: impl FnMut() + Send) {
    let mut writer = Writer::new(address, byte);
    process::alongside(other, || (0..ROUNDS).for_each(|_| writer.write()));
    assert_eq!(writer.cut, 0, "all of the memory exists all the time");
}

/// Writes memory, and checks that the checksum and the length agree.
struct Writer {
    file: std::fs::File,
    address: usize,
    byte: u8,
    /// How many writes were cut short.
    cut: usize,
}

impl Writer {
    fn new(address: usize, byte: u8) -> Self {
        Self {
            file: device::private(),
            address,
            byte,
            cut: 0,
        }
    }

    #[track_caller]
    fn assert_counts(&self, count: usize) {
        let value = reference::append_repeated(1, self.byte, count as u64);
        let expected = device::state(value, count as u64);
        assert_eq!(self.file.state(), expected);
    }

    #[track_caller]
    fn write(&mut self) {
        let address = self.address as u64;
        self.file.reset().expect("RESET");
        let count = memory::write_from(&self.file, self.address, memory_len()).unwrap_or(0);
        self.assert_counts(count);
        self.cut += usize::from(count < memory_len());
        let whole = self.file.update_from(address, memory_len() as u64).is_ok();
        self.assert_counts(count + if whole { memory_len() } else { 0 });
        if let Ok(value) = self.file.digest_from(1, address, memory_len() as u64) {
            let expected = reference::append_repeated(1, self.byte, memory_len() as u64);
            assert_eq!(value, expected);
        }
    }
}

/// Returns an endless sequence of ranges of `pages` pages.
fn in_turn(pages: usize) -> impl FnMut() -> std::ops::Range<usize> {
    let mut page = 0;
    move || {
        page = (page + 7) % (PAGES - pages);
        page * page_size()..(page + pages) * page_size()
    }
}

fn protected_in_mid_write() {
    let map = filled(0xff);
    let mut next = in_turn(1);
    write_cut_by(map.address(), 0xff, || {
        let page = next();
        map.protect(page.clone(), ProtFlags::PROT_NONE);
        thread::yield_now();
        map.protect(page, ProtFlags::PROT_READ);
    });
}

fn unmapped_in_mid_write() {
    let file = file_of(&vec![0xff; memory_len()]);
    let map = Map::new(memory_len());
    map.map_file(0..memory_len(), &file, 0, MapFlags::MAP_SHARED);
    let mut next = in_turn(64);
    write_cut_by(map.address(), 0xff, || {
        let pages = next();
        let offset = pages.start as i64;
        map.unmap(pages.clone());
        thread::yield_now();
        // No other thread maps memory in between.
        map.map_file(pages, &file, offset, MapFlags::MAP_SHARED);
    });
}

fn unmapped_while_it_waits() {
    // Memory before and after the missing page is unmapped while the write waits for the page.
    let data = reference::noise(128 * page_size(), 80);
    let held = Held::new(&data, 64);
    let file = device::private();
    thread::scope(|scope| {
        let writer = scope.spawn(|| memory::write_from(&file, held.address(), held.size()));
        let stopped = held.wait();
        held.map().unmap(0..8 * page_size());
        held.map().unmap(100 * page_size()..128 * page_size());
        drop(stopped);
        let count = writer.join().expect("no panic").expect("write");
        assert!((1..=100 * page_size()).contains(&count), "{count} bytes");
        assert_eq!(file.state(), device::state_of(&data[..count]));
    });
}

fn truncated_in_mid_write() {
    // The memory after the new end of a file is missing, and is zero when the file grows again.
    let file = file_of(&vec![0; memory_len()]);
    let map = Map::new(memory_len());
    map.map_file(0..memory_len(), &file, 0, MapFlags::MAP_SHARED);
    write_cut_by(map.address(), 0, || {
        for len in [memory_len() / 2, memory_len()] {
            file.set_len(len as u64).expect("ftruncate");
            thread::yield_now();
        }
    });
}

/// Writes a byte to each page of a range, which other threads may read at the same time.
fn touch(map: &Map, range: std::ops::Range<usize>, byte: u8) {
    for offset in range.step_by(page_size()) {
        let target = std::ptr::with_exposed_provenance_mut::<u8>(map.address() + offset);
        // SAFETY: The byte is in the mapping, and no reference to it exists.
        unsafe { target.write_volatile(byte) };
    }
}

fn discarded_in_mid_write() {
    let map = filled(0);
    let mut next = in_turn(4);
    write_whole_alongside(map.address(), 0, || {
        let pages = next();
        map.discard(pages.clone());
        touch(&map, pages, 0);
    });
}

fn given_up_in_mid_write() {
    let map = filled(0);
    let mut next = in_turn(64);
    write_whole_alongside(map.address(), 0, || {
        let pages = next();
        map.advise(pages.clone(), MmapAdvise::MADV_FREE);
        touch(&map, pages, 0);
    });
}

fn moved_in_mid_write() {
    let (map, away) = (filled(0), filled(0));
    let mut next = in_turn(64);
    write_whole_alongside(map.address(), 0, || {
        let pages = next();
        map.move_to(&away, pages.clone());
        away.move_to(&map, pages);
    });
}

fn copied_by_a_fork_in_mid_write() {
    // The parent must not see what the child writes.
    let map = filled(0xff);
    write_whole_alongside(map.address(), 0xff, || {
        let child = fork(|_| touch(&map, 0..memory_len(), 0));
        touch(&map, 0..memory_len(), 0xff);
        child.join();
    });
}

/// If pinning copied the pages that a child shares with its parent, each would take a page fault.
fn inherited_memory_stays_shared() {
    let map = filled(0xff);
    let faults = || {
        let usage = resource::getrusage(UsageWho::RUSAGE_THREAD).expect("getrusage");
        usage.minor_page_faults()
    };
    let child = fork(|_| {
        let file = device::private();
        let before = faults();
        let written = memory::write_from(&file, map.address(), memory_len());
        assert_eq!(written.expect("write"), memory_len());
        let updated = file.update_from(map.address() as u64, memory_len() as u64);
        updated.expect("UPDATE");
        let taken = faults() - before;
        let value = reference::append_repeated(1, 0xff, 2 * memory_len() as u64);
        let expected = device::state(value, 2 * memory_len() as u64);
        assert_eq!(file.state(), expected);
        // The child writes to its stack and other data.
        assert!(taken < PAGES as i64 / 4, "{taken} faults in {PAGES} pages");
    });
    child.join();
}

fn overwritten_in_mid_write() {
    // Which bytes a write finds depends on timing. Each is 0 or 1, and the checksum counts the
    // ones.
    let map = filled(0);
    let file = device::private();
    let mut byte = 0;
    let overwrite = || {
        byte ^= 1;
        touch(&map, 0..memory_len(), byte);
    };
    process::alongside(overwrite, || {
        for _ in 0..40 {
            file.reset().expect("RESET");
            let written = memory::write_from(&file, map.address(), memory_len());
            assert_eq!(written.expect("write"), memory_len());
            let state = file.state();
            assert_eq!(state.length, memory_len() as u64);
            let ones = (state.value & 0xffff) as usize - 1;
            assert!(ones <= PAGES, "{ones} bytes of {PAGES} pages were one");
        }
    });
}
