// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Memory that changes while it is read in place. Every test of the suite ends with no page pinned
//! that was not before; these make sure that pages are pinned at all, few at a time, and that
//! whatever becomes of the memory, value and length go together.

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
use adler32_tests::memory::Map;
use adler32_tests::memory::PAGE;
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

/// What the memory of the tests has: more than one batch of pages.
const LEN: usize = 1 << 20;
const PAGES: usize = LEN / PAGE;

/// A mapping filled with `byte`.
fn filled(byte: u8) -> Map {
    let mut map = Map::new(LEN);
    map.bytes().fill(byte);
    map
}

fn large_operations_pin() {
    let map = filled(0xff);
    let (address, half) = (map.address(), LEN / 2);
    let file = device::private();
    let operations: [(&str, &dyn Fn()); 4] = [
        ("write", &|| {
            let written = memory::write_from(&file, address, LEN);
            assert_eq!(written.expect("write"), LEN);
        }),
        ("writev", &|| {
            let pieces = [(address, half), (address + half, half)];
            let written = memory::writev_from(&file, &pieces);
            assert_eq!(written.expect("writev"), LEN);
        }),
        ("UPDATE", &|| {
            let updated = file.update_from(address as u64, LEN as u64);
            updated.expect("UPDATE");
        }),
        ("DIGEST", &|| {
            let digest = file.digest_from(1, address as u64, LEN as u64);
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

/// How many files are written at once.
const FILES: usize = 64;
/// How many pages a write pins at most at a time: `PAGES` in src/chrdev/source.rs.
const BATCH: usize = 64;
/// By how many pages the count may be wrong: two processors report two counters in lots of 125.
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
        // Threads that write keep others from starting.
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
    // Each thread has a stack in the kernel, and the data 2 MiB of page tables.
    taken.assert_below(32 << 10, 8 << 10);
    for file in &files {
        let state = file.state();
        assert!(state.length < LONG as u64, "it was over before the kill");
        let value = reference::append_repeated(1, 0xff, state.length);
        assert_eq!(state, device::state(value, state.length));
    }
}

/// How often to write while others change the memory, and how often at most until a change is met.
const ROUNDS: usize = 40;
const MOST_ROUNDS: usize = 4000;

/// Writes [`LEN`] bytes, which are all `byte` as far as they are there, again and again while another
/// thread does `other`, which takes some of them away, and checks that some writes find less than
/// all of it.
#[track_caller]
fn write_cut_by(address: usize, byte: u8, other: impl FnMut() + Send) {
    let mut writer = Writer::new(address, byte);
    process::alongside(other, || {
        let mut rounds = 0..MOST_ROUNDS;
        while writer.cut == 0 || rounds.start < ROUNDS {
            rounds.next().expect("a write meets a hole some time");
            writer.write();
        }
    });
}

/// The same where `other` leaves all of it there.
#[track_caller]
fn write_beside(address: usize, byte: u8, other: impl FnMut() + Send) {
    let mut writer = Writer::new(address, byte);
    process::alongside(other, || (0..ROUNDS).for_each(|_| writer.write()));
    assert_eq!(writer.cut, 0, "all of it is there all the time");
}

/// Writes memory, and checks that value and length go together.
struct Writer {
    file: std::fs::File,
    address: usize,
    byte: u8,
    /// How many writes found less than all of it.
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
        let count = memory::write_from(&self.file, self.address, LEN).unwrap_or(0);
        self.assert_counts(count);
        self.cut += usize::from(count < LEN);
        let whole = self.file.update_from(address, LEN as u64).is_ok();
        self.assert_counts(count + if whole { LEN } else { 0 });
        if let Ok(value) = self.file.digest_from(1, address, LEN as u64) {
            let expected = reference::append_repeated(1, self.byte, LEN as u64);
            assert_eq!(value, expected);
        }
    }
}

/// Returns the ranges of some of the pages, in turn and for ever.
fn in_turn(pages: usize) -> impl FnMut() -> std::ops::Range<usize> {
    let mut page = 0;
    move || {
        page = (page + 7) % (PAGES - pages);
        page * PAGE..(page + pages) * PAGE
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
    let file = file_of(&[0xff; LEN]);
    let map = Map::new(LEN);
    map.map_file(0..LEN, &file, 0, MapFlags::MAP_SHARED);
    let mut next = in_turn(64);
    write_cut_by(map.address(), 0xff, || {
        let pages = next();
        let offset = pages.start as i64;
        map.unmap(pages.clone());
        thread::yield_now();
        // Nobody else maps anything meanwhile.
        map.map_file(pages, &file, offset, MapFlags::MAP_SHARED);
    });
}

fn unmapped_while_it_waits() {
    // What lies behind the page that is waited for goes, and what was read before it goes, too.
    let data = reference::noise(128 * PAGE, 80);
    let held = Held::new(&data, 64);
    let file = device::private();
    thread::scope(|scope| {
        let writer = scope.spawn(|| memory::write_from(&file, held.address(), held.size()));
        let stopped = held.wait();
        held.map().unmap(0..8 * PAGE);
        held.map().unmap(100 * PAGE..128 * PAGE);
        drop(stopped);
        let count = writer.join().expect("no panic").expect("write");
        assert!((1..=100 * PAGE).contains(&count), "{count} bytes");
        assert_eq!(file.state(), device::state_of(&data[..count]));
    });
}

fn truncated_in_mid_write() {
    // What is behind a file's new end is not there; when the file grows again, it is zero.
    let file = file_of(&[0; LEN]);
    let map = Map::new(LEN);
    map.map_file(0..LEN, &file, 0, MapFlags::MAP_SHARED);
    write_cut_by(map.address(), 0, || {
        for len in [LEN / 2, LEN] {
            file.set_len(len as u64).expect("ftruncate");
            thread::yield_now();
        }
    });
}

/// Writes a byte to each of some pages, which may be shared with other threads.
fn touch(map: &Map, range: std::ops::Range<usize>, byte: u8) {
    for offset in range.step_by(PAGE) {
        let target = std::ptr::with_exposed_provenance_mut::<u8>(map.address() + offset);
        // SAFETY: The byte is in the mapping, and nobody has a reference to it.
        unsafe { target.write_volatile(byte) };
    }
}

fn discarded_in_mid_write() {
    let map = filled(0);
    let mut next = in_turn(4);
    write_beside(map.address(), 0, || {
        let pages = next();
        map.discard(pages.clone());
        touch(&map, pages, 0);
    });
}

fn given_up_in_mid_write() {
    let map = filled(0);
    let mut next = in_turn(64);
    write_beside(map.address(), 0, || {
        let pages = next();
        map.advise(pages.clone(), MmapAdvise::MADV_FREE);
        touch(&map, pages, 0);
    });
}

fn moved_in_mid_write() {
    let (map, away) = (filled(0), filled(0));
    let mut next = in_turn(64);
    write_beside(map.address(), 0, || {
        let pages = next();
        map.move_to(&away, pages.clone());
        away.move_to(&map, pages);
    });
}

fn copied_by_a_fork_in_mid_write() {
    // What the child writes is not what its parent has.
    let map = filled(0xff);
    write_beside(map.address(), 0xff, || {
        let child = fork(|_| touch(&map, 0..LEN, 0));
        touch(&map, 0..LEN, 0xff);
        child.join();
    });
}

/// To copy a page that a process shares with its parent takes a fault.
fn inherited_memory_stays_shared() {
    let map = filled(0xff);
    let faults = || {
        let usage = resource::getrusage(UsageWho::RUSAGE_THREAD).expect("getrusage");
        usage.minor_page_faults()
    };
    let child = fork(|_| {
        let file = device::private();
        let before = faults();
        let written = memory::write_from(&file, map.address(), LEN);
        assert_eq!(written.expect("write"), LEN);
        let updated = file.update_from(map.address() as u64, LEN as u64);
        updated.expect("UPDATE");
        let taken = faults() - before;
        let value = reference::append_repeated(1, 0xff, 2 * LEN as u64);
        let expected = device::state(value, 2 * LEN as u64);
        assert_eq!(file.state(), expected);
        // Its stack and other data are written to.
        assert!(taken < PAGES as i64 / 4, "{taken} faults in {PAGES} pages");
    });
    child.join();
}

fn overwritten_in_mid_write() {
    // The value cannot be foretold, but every byte is one of two, and is counted.
    let map = filled(0);
    let file = device::private();
    let mut byte = 0;
    let overwrite = || {
        byte ^= 1;
        touch(&map, 0..LEN, byte);
    };
    process::alongside(overwrite, || {
        for _ in 0..40 {
            file.reset().expect("RESET");
            let written = memory::write_from(&file, map.address(), LEN);
            assert_eq!(written.expect("write"), LEN);
            let state = file.state();
            assert_eq!(state.length, LEN as u64);
            let ones = (state.value & 0xffff) as usize - 1;
            assert!(ones <= PAGES, "{ones} bytes of {PAGES} pages were one");
        }
    });
}
