// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The device through io_uring(7), in which threads of the kernel do the work.

use std::fs::File;
use std::io::Write;
use std::thread;
use std::time::Duration;

use libtest_mimic::Completion;
use nix::errno::Errno;
use nix::unistd;

use adler32_tests::device;
use adler32_tests::device::Device;
use adler32_tests::device::EMPTY;
use adler32_tests::held::Held;
use adler32_tests::memory;
use adler32_tests::memory::page_size;
use adler32_tests::memory::Map;
use adler32_tests::memory::NO_HUGE_PAGES;
use adler32_tests::module;
use adler32_tests::process;
use adler32_tests::process::fork;
use adler32_tests::reference;
use adler32_tests::ring;
use adler32_tests::ring::Ring;
use adler32_tests::trials;
use adler32_tests::ErrnoOf;

trials!(after module::ensure_loaded:
    write_of_any_size,
    writev_of_pieces,
    write_of_a_registered_buffer,
    write_of_registered_huge_pages,
    splice_from_a_pipe,
    splice_from_a_file,
    linked_requests_run_in_order,
    short_write_breaks_a_chain,
    memory_that_is_not_there,
    wrong_direction_is_refused,
    rings_write_to_one_file,
    rings_write_to_files_of_their_own,
    cancelled_in_mid_write,
    ring_closed_in_mid_write,
    exit_in_mid_write,
    killed_in_mid_write,
);

/// Sizes around every boundary, and one other.
const SIZES: [usize; 9] = [
    0,
    1,
    16,
    4095,
    4096,
    4097,
    65_537,
    1 << 20,
    (1 << 20) + 12_345,
];

fn write_of_any_size() {
    let data = reference::noise((1 << 20) + 20_000, 60);
    let mut ring = Ring::open();
    for size in SIZES {
        for start in [0, 1, 4095] {
            let data = &data[start..start + size];
            let file = device::private();
            let mut text = [0; 16];
            let written = ring.run_one(ring::write(&file, data.as_ptr() as usize, size));
            assert_eq!(written.expect("WRITE"), size);
            assert_eq!(file.state(), device::state_of(data));
            let read = ring.run_one(ring::read(&file, &mut text)).expect("READ");
            let expected = reference::text(reference::adler(data));
            assert_eq!(&text[..read], expected.as_bytes(), "{size} bytes");
        }
    }
}

fn writev_of_pieces() {
    let data = reference::noise(1 << 20, 61);
    let whole = device::state_of(&data);
    let mut rest = &data[..];
    let mut pieces = Vec::new();
    for len in [1, 0, 15, 4096, 4095, 8193, 500_001, usize::MAX] {
        let (piece, behind) = rest.split_at(len.min(rest.len()));
        pieces.push(memory::iovec(piece.as_ptr() as usize, piece.len()));
        rest = behind;
    }
    let file = device::private();
    let written = Ring::open().run_one(ring::writev(&file, &pieces));
    assert_eq!(written.expect("WRITEV"), 1 << 20);
    assert_eq!(file.state(), whole);
}

/// Registers memory as a buffer, and checks writes of it and of its parts.
#[track_caller]
fn assert_registered(map: &mut Map) {
    let data = reference::noise(map.size(), 62);
    map.bytes().copy_from_slice(&data);
    let mut ring = Ring::open();
    ring.register(map);
    let len = data.len();
    for range in [
        0..0,
        0..1,
        0..16,
        17..33,
        5..page_size(),
        page_size() - 1..3 * page_size() + 1,
        len / 2 + 1..len / 2 + 70_000,
        len - 1..len,
        0..len,
        1..len - 1,
    ] {
        let file = device::private();
        let address = map.address() + range.start;
        let written = ring.run_one(ring::write_fixed(&file, address, range.len()));
        assert_eq!(written.expect("WRITE_FIXED"), range.len(), "{range:?}");
        let expected = device::state_of(&data[range.clone()]);
        assert_eq!(file.state(), expected, "{range:?}");
    }
    let file = device::private();
    for (address, len) in [(map.address() - 1, 16), (map.address() + 1, len)] {
        let refused = ring.run_one(ring::write_fixed(&file, address, len));
        assert_eq!(
            refused.errno(),
            Errno::EFAULT,
            "not all of the memory is registered"
        );
    }
    ring.unregister();
    let refused = ring.run_one(ring::write_fixed(&file, map.address(), 16));
    assert_eq!(
        refused.errno(),
        Errno::EFAULT,
        "the memory is no longer registered"
    );
    assert_eq!(file.state(), EMPTY);
}

fn write_of_a_registered_buffer() {
    assert_registered(&mut Map::new(32 << 20));
}

fn write_of_registered_huge_pages() -> Completion {
    // The kernel describes such a buffer in pieces that are longer than a page.
    let Some(mut map) = Map::huge(4) else {
        return Completion::ignored_with(NO_HUGE_PAGES);
    };
    assert_registered(&mut map);
    assert!(map.smaps("AnonHugePages:") > 0, "no page is huge");
    Completion::Completed
}

fn splice_from_a_pipe() {
    let data = reference::noise(50_001, 63);
    let (reader, writer) = unistd::pipe().expect("pipe");
    File::from(writer).write_all(&data).expect("write");
    let file = device::private();
    let mut ring = Ring::open();
    let mut done = 0;
    for len in [1, 4095, 10_000, 100_000] {
        let count = ring.run_one(ring::splice(&reader, None, &file, len));
        done += count.expect("SPLICE");
        assert_eq!(done, data.len().min(done), "more than the pipe contained");
        assert_eq!(file.state(), device::state_of(&data[..done]));
    }
    assert_eq!(done, data.len());
    let end = ring.run_one(ring::splice(&reader, None, &file, 1));
    assert_eq!(end.expect("SPLICE"), 0);
}

fn splice_from_a_file() {
    let step = 12 * page_size();
    let data = reference::noise(10 * step + 1234, 64);
    let source = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(source.path(), &data).expect("write");
    let (reader, writer) = unistd::pipe().expect("pipe");
    let file = device::private();
    let mut ring = Ring::open();
    for start in (0..data.len()).step_by(step) {
        let len = step.min(data.len() - start);
        let counts = ring.run([
            ring::linked(ring::splice(source.as_file(), Some(start), &writer, len)),
            ring::splice(&reader, None, &file, len),
        ]);
        for count in counts {
            assert_eq!(count.expect("SPLICE"), len, "from {start}");
        }
    }
    assert_eq!(file.state(), device::state_of(&data));
}

fn linked_requests_run_in_order() {
    let data = reference::noise(300_000, 65);
    let (first, second) = data.split_at(123_457);
    let mut ring = Ring::open();
    for _ in 0..20 {
        let file = device::private();
        let mut text = [0; 9];
        let [one, two, read] = ring.run([
            ring::linked(ring::write(&file, first.as_ptr() as usize, first.len())),
            ring::linked(ring::write(&file, second.as_ptr() as usize, second.len())),
            ring::read(&file, &mut text),
        ]);
        assert_eq!(one.expect("WRITE"), first.len());
        assert_eq!(two.expect("WRITE"), second.len());
        assert_eq!(read.expect("READ"), 9);
        assert_eq!(text, reference::text(reference::adler(&data)).as_bytes());
    }
}

fn short_write_breaks_a_chain() {
    let data = reference::noise(100_000, 66);
    let (map, offset) = Map::before_hole(&data);
    let file = device::private();
    let [short, next] = Ring::open().run([
        ring::linked(ring::write(&file, map.address() + offset, data.len() + 1)),
        ring::write(&file, data.as_ptr() as usize, data.len()),
    ]);
    let count = short.expect("WRITE");
    assert!((1..=data.len()).contains(&count), "{count} bytes");
    assert_eq!(next.errno(), Errno::ECANCELED);
    assert_eq!(file.state(), device::state_of(&data[..count]));
}

fn memory_that_is_not_there() {
    let file = device::private();
    let mut ring = Ring::open();
    memory::assert_unreadable_is_refused(|address, len| {
        ring.run_one(ring::write(&file, address, len))
    });
    assert_eq!(file.state(), EMPTY);

    let data = reference::noise(200_000, 67);
    for size in [1, 4095, 4096, 4097, 16_385, 65_537, 200_000] {
        let (map, offset) = Map::before_hole(&data[..size]);
        let file = device::private();
        let mut done = 0;
        while done < size {
            let address = map.address() + offset + done;
            let count = ring.run_one(ring::write(&file, address, size + 4096 - done));
            done += count.expect("WRITE");
            assert_eq!(file.state(), device::state_of(&data[..done]));
        }
        let refused = ring.run_one(ring::write(&file, map.address() + offset + done, 4096));
        assert_eq!(refused.errno(), Errno::EFAULT, "after {size} bytes");
    }
}

fn wrong_direction_is_refused() {
    let mut ring = Ring::open();
    let mut text = [0; 9];
    let refused = ring.run_one(ring::write(&device::view(), text.as_ptr() as usize, 9));
    assert_eq!(refused.errno(), Errno::EBADF);
    let refused = ring.run_one(ring::read(&device::replace(), &mut text));
    assert_eq!(refused.errno(), Errno::EBADF);
}

/// The threads, and the requests that each of them makes at once. All write the same data.
const THREADS: usize = 4;
const REQUESTS: usize = 8;

/// Writes `block` by [`REQUESTS`] requests, half of them with a registered buffer.
fn write_many(file: &File, block: &[u8]) {
    let mut map = Map::new(block.len());
    map.bytes()[..block.len()].copy_from_slice(block);
    let mut ring = Ring::open();
    ring.register(&map);
    let requests: [_; REQUESTS] = std::array::from_fn(|number| match number % 2 {
        0 => ring::write(file, map.address(), block.len()),
        _ => ring::write_fixed(file, map.address(), block.len()),
    });
    for written in ring.run(requests) {
        assert_eq!(written.expect("WRITE"), block.len());
    }
}

fn rings_write_to_one_file() {
    // Writes of the same block in any order result in the same checksum, unless they mix.
    let block = reference::noise(300_001, 68);
    let file = device::private();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| write_many(&file, &block));
        }
    });
    let expected = device::state_of(&block.repeat(THREADS * REQUESTS));
    assert_eq!(file.state(), expected);
}

fn rings_write_to_files_of_their_own() {
    thread::scope(|scope| {
        for number in 0..THREADS {
            scope.spawn(move || {
                let block = reference::noise(100_001 + number, number as u64);
                let file = device::private();
                write_many(&file, &block);
                let expected = device::state_of(&block.repeat(REQUESTS));
                assert_eq!(file.state(), expected);
            });
        }
    });
}

fn cancelled_in_mid_write() {
    let data = reference::noise(70 * page_size(), 69);
    let held = Held::new(&data, 40);
    let file = device::private();
    let mut ring = Ring::open();
    ring.start([ring::write(&file, held.address(), held.size())]);
    let stopped = held.wait();
    ring.start([ring::cancel(0)]);
    thread::sleep(Duration::from_millis(30));
    drop(stopped);
    let [written, cancelled] = ring.results();
    assert_eq!(cancelled.errno(), Errno::EALREADY, "the write runs");
    let count = written.unwrap_or(0);
    assert_eq!(file.state(), device::state_of(&data[..count]));
}

fn ring_closed_in_mid_write() {
    let data = reference::noise(70 * page_size(), 70);
    device::publish(b"");
    let held = Held::new(&data, 40);
    let file = device::replace();
    let mut ring = Ring::open();
    ring.start([ring::write(&file, held.address(), held.size())]);
    let stopped = held.wait();
    drop(ring);
    drop(file);
    assert_eq!(module::refcount(), Some(1), "a write is under way");
    drop(stopped);
    assert_published_part_of(&data);
}

/// Waits until the file of a request is closed. The slot must cover the data consumed.
#[track_caller]
fn assert_published_part_of(data: &[u8]) {
    process::eventually("the file is closed", || module::refcount() == Some(0));
    let slot = device::slot();
    let consumed = &data[..slot.length as usize];
    assert_eq!(slot, device::state_of(consumed));
}

/// Calls `end` to end a child while its request waits for memory.
#[track_caller]
fn end_in_mid_write(end: impl FnOnce(process::Child)) {
    let data = reference::noise(70 * page_size(), 71);
    device::publish(b"");
    let mut child = fork(|link| {
        let held = Held::new(&data, 40);
        let file = device::replace();
        let mut ring = Ring::open();
        ring.start([ring::write(&file, held.address(), held.size())]);
        // The memory is missing until the process ends.
        std::mem::forget(held.wait());
        link.notify();
        link.wait();
        // SAFETY: The call takes no pointers, and does not return.
        unsafe { libc::_exit(0) }
    });
    child.link().wait();
    end(child);
    assert_published_part_of(&data);
}

fn exit_in_mid_write() {
    end_in_mid_write(|mut child| {
        child.link().notify();
        child.join();
    });
}

fn killed_in_mid_write() {
    end_in_mid_write(|child| {
        child.kill_promptly();
    });
}
