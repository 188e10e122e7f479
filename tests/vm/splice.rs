// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Data that the kernel moves to the device itself: splice(2), tee(2), vmsplice(2) and sendfile(2).

use std::ffi::c_void;
use std::fs::File;
use std::io::IoSlice;
use std::io::Read;
use std::io::Seek;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::ptr::NonNull;
use std::thread;

use libtest_mimic::Completion;
use nix::errno::Errno;
use nix::fcntl;
use nix::fcntl::OFlag;
use nix::fcntl::SpliceFFlags;
use nix::sys::mman;
use nix::sys::mman::MmapAdvise;
use nix::sys::sendfile;
use nix::unistd;

use adler32_tests::device;
use adler32_tests::device::Device;
use adler32_tests::device::EMPTY;
use adler32_tests::files::file_in;
use adler32_tests::files::file_of;
use adler32_tests::files::DIRECTORIES;
use adler32_tests::memory::page_size;
use adler32_tests::memory::Map;
use adler32_tests::module;
use adler32_tests::process;
use adler32_tests::process::as_fresh_user;
use adler32_tests::reference;
use adler32_tests::trials;
use adler32_tests::ErrnoOf;

trials!(after module::ensure_loaded:
    sendfile_feeds_a_file,
    sendfile_of_holes,
    sendfile_of_what_the_kernel_makes_up,
    sendfile_of_the_text,
    sendfile_of_a_file_that_changes_its_size,
    sendfile_by_two_threads,
    killed_in_a_long_sendfile,
    splice_feeds_a_pipe,
    splice_of_tiny_pieces,
    splice_of_pages_filled_in_part,
    splice_of_less_than_a_piece,
    splice_of_a_truncated_file,
    splice_of_an_empty_pipe,
    splice_of_a_socket,
    splice_reads_the_text,
    tee_feeds_two_files,
    vmsplice_feeds_memory,
    broken_memory_is_an_error,
    splice_updates_what_append_reads,
);

/// Splices at most `len` bytes. One of the two is a pipe.
fn splice(from: impl AsFd, to: impl AsFd, len: usize) -> nix::Result<usize> {
    fcntl::splice(from, None, to, None, len, SpliceFFlags::empty())
}

/// Splices `len` bytes, which are in the pipe.
#[track_caller]
fn splice_whole(pipe: &OwnedFd, file: &File, len: usize) {
    let mut left = len;
    while left > 0 {
        let count = splice(pipe, file, left).expect("splice");
        assert!((1..=left).contains(&count), "{count} of {left} bytes");
        left -= count;
    }
}

/// Makes a pipe that contains pieces, each of them in its own page.
fn pipe_of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> OwnedFd {
    let (reader, writer) = unistd::pipe2(OFlag::O_DIRECT).expect("pipe");
    let mut writer = File::from(writer);
    for piece in pieces {
        writer.write_all(piece).expect("write");
    }
    reader
}

/// Sends a file of `len` bytes, with calls that request more.
#[track_caller]
fn send_whole(file: &File, source: &File, len: usize) {
    let mut sent = 0;
    loop {
        match sendfile::sendfile(file, source, None, len + 1).expect("sendfile") {
            0 => break,
            count => sent += count,
        }
    }
    assert_eq!(sent, len);
}

fn sendfile_feeds_a_file() {
    for len in [0, 1, 4095, 4096, 4097, 65_535, 65_536, 65_537, 1_000_003] {
        let data = reference::noise(len, 21);
        let source = file_of(&data);
        let file = device::private();
        send_whole(&file, &source, len);
        assert_eq!(file.state(), device::state_of(&data), "{len} bytes");
    }
    // From an offset, to a session that is not empty.
    let data = reference::noise(10_000, 22);
    let file = device::private();
    file.write_whole(&data[..5001]);
    let mut offset = 5001;
    let count = sendfile::sendfile(&file, file_of(&data), Some(&mut offset), 4000);
    assert_eq!((count, offset), (Ok(4000), 9001));
    assert_eq!(file.state(), device::state_of(&data[..9001]));
}

fn sendfile_of_holes() {
    const LEN: usize = 1 << 20;
    let data = reference::noise(70_000, 100);
    for directory in DIRECTORIES {
        let source = file_in(directory, &[]);
        source.set_len(LEN as u64).expect("ftruncate");
        source.write_all_at(&data, 300_001).expect("write");
        let file = device::private();
        send_whole(&file, &source, LEN);
        let zeros = vec![0; LEN];
        let content = [&zeros[..300_001], &data, &zeros[370_001..]].concat();
        assert_eq!(file.state(), device::state_of(&content));
    }
}

fn sendfile_of_what_the_kernel_makes_up() {
    for path in [
        "/proc/filesystems",
        "/proc/devices",
        "/sys/module/adler32/initstate",
    ] {
        let content = std::fs::read(path).expect(path);
        let file = device::private();
        send_whole(&file, &File::open(path).expect(path), content.len());
        assert_eq!(file.state(), device::state_of(&content), "{path}");
    }
}

fn sendfile_of_the_text() {
    let (mut source, file) = (device::private(), device::private());
    source.write_whole(b"Wikipedia");
    assert_eq!(sendfile::sendfile(&file, &source, None, 100), Ok(9));
    assert_eq!(file.state(), device::state_of(b"11e60398\n"));
    // To the file itself.
    source.rewind().expect("lseek");
    assert_eq!(sendfile::sendfile(&source, &source, None, 9), Ok(9));
    let expected = device::state_of(b"Wikipedia11e60398\n");
    assert_eq!(source.state(), expected);
}

fn sendfile_of_a_file_that_changes_its_size() {
    const LEN: usize = 1 << 20;
    for directory in DIRECTORIES {
        // Every byte is zero, so that the checksum depends on the length alone.
        let source = file_in(directory, &vec![0; LEN]);
        let change = || {
            for len in [LEN / 3 + 1, 0, LEN] {
                source.set_len(len as u64).expect("ftruncate");
                thread::yield_now();
            }
        };
        let send = || {
            let file = device::private();
            let count = sendfile::sendfile(&file, &source, Some(&mut 0), LEN);
            let count = count.expect("sendfile");
            let value = reference::append_repeated(1, 0, count as u64);
            let expected = device::state(value, count as u64);
            assert_eq!(file.state(), expected, "in {directory}");
            count < LEN
        };
        process::alongside(change, || {
            process::eventually("a file is cut while it is sent", || {
                (0..100).filter(|_| send()).count() > 0
            });
        });
    }
}

fn sendfile_by_two_threads() {
    // The threads may take turns. Every byte is the same, so that the order does not matter.
    const LEN: usize = 2 << 20;
    let source = file_of(&vec![0xff; LEN]);
    let file = device::private();
    let send = || {
        for _ in 0..8 {
            let mut offset = 0;
            while (offset as usize) < LEN {
                let left = LEN - offset as usize;
                let count = sendfile::sendfile(&file, &source, Some(&mut offset), left);
                assert!(count.expect("sendfile") > 0);
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(send);
        scope.spawn(send);
    });
    let length = 16 * LEN as u64;
    let value = reference::append_repeated(1, 0xff, length);
    assert_eq!(file.state(), device::state(value, length));
}

fn killed_in_a_long_sendfile() {
    const LONG: usize = 1 << 31;
    let source = file_of(&[]);
    source.set_len(LONG as u64).expect("ftruncate");
    let slot = device::kill_during(
        |file| {
            let _ = sendfile::sendfile(file, &source, None, LONG);
        },
        |pid, fd| device::fdinfo_state(pid, fd).length > 1 << 20,
    );
    let length = slot.length - 3;
    assert!(
        length < (1 << 31) - (1 << 20),
        "the call ended before the kill"
    );
    let value = reference::append_repeated(reference::adler(b"abc"), 0, length);
    assert_eq!(slot.value, value, "after {length} bytes");
}

fn splice_feeds_a_pipe() {
    let data = reference::noise(50_000, 23);
    let (reader, writer) = unistd::pipe().expect("pipe");
    let file = device::private();
    let mut writer = File::from(writer);
    for piece in data.chunks(7001) {
        writer.write_all(piece).expect("write");
        splice_whole(&reader, &file, piece.len());
    }
    drop(writer);
    assert_eq!(splice(&reader, &file, 100), Ok(0));
    assert_eq!(file.state(), device::state_of(&data));
    let text = device::read_rest(&file);
    assert_eq!(
        text,
        reference::text(reference::adler(&data)),
        "a splice sets the position to 0"
    );

    // To a file that is not open for writing.
    let (reader, mut writer) = unistd::pipe()
        .map(|(r, w)| (r, File::from(w)))
        .expect("pipe");
    writer.write_all(b"abc").expect("write");
    let view = device::view();
    assert_eq!(splice(&reader, &view, 3), Err(Errno::EBADF));
}

fn splice_of_tiny_pieces() {
    let data = reference::noise(1000, 101);
    for len in [1, 2, 15, 16, 17] {
        let data = &data[..16 * len];
        let pipe = pipe_of(data.chunks(len));
        let file = device::private();
        splice_whole(&pipe, &file, data.len());
        assert_eq!(file.state(), device::state_of(data), "{len}");
    }
}

fn splice_of_pages_filled_in_part() {
    let pieces = [1, 4096, 4095, 7, 2048, 4096, 4096, 100, 3000]
        .map(|len| reference::noise(len, len as u64));
    let data = pieces.concat();
    let file = device::private();
    splice_whole(
        &pipe_of(pieces.iter().map(Vec::as_slice)),
        &file,
        data.len(),
    );
    assert_eq!(file.state(), device::state_of(&data));
}

fn splice_of_less_than_a_piece() {
    let data = reference::noise(3 * page_size(), 103);
    let (reader, writer) = unistd::pipe().expect("pipe");
    File::from(writer).write_all(&data).expect("write");
    let file = device::private();
    let mut done = 0;
    for len in [1, 10, 100, 4000, 4096, 1] {
        splice_whole(&reader, &file, len);
        done += len;
        assert_eq!(file.state(), device::state_of(&data[..done]));
    }
    let mut rest = Vec::new();
    File::from(reader).read_to_end(&mut rest).expect("read");
    assert_eq!(rest, data[done..], "the rest is in the pipe");
}

fn splice_of_a_truncated_file() {
    // The pipe holds the pages, which the file no longer contains.
    let data = reference::noise(10 * page_size(), 104);
    for directory in DIRECTORIES {
        let source = file_in(directory, &data);
        let (reader, writer) = unistd::pipe().expect("pipe");
        assert_eq!(splice(&source, &writer, data.len()), Ok(data.len()));
        source.set_len(0).expect("ftruncate");
        let file = device::private();
        splice_whole(&reader, &file, data.len());
        assert_eq!(file.state(), device::state_of(&data));
    }
}

fn splice_of_an_empty_pipe() {
    let (reader, writer) = unistd::pipe().expect("pipe");
    let file = device::private();
    let now = SpliceFFlags::SPLICE_F_NONBLOCK;
    let try_splice = || fcntl::splice(&reader, None, &file, None, 100, now);
    assert_eq!(try_splice(), Err(Errno::EAGAIN));
    assert_eq!(file.state(), EMPTY);
    assert_eq!(unistd::write(&writer, b"abc"), Ok(3));
    assert_eq!(try_splice(), Ok(3));
    assert_eq!(try_splice(), Err(Errno::EAGAIN));
    drop(writer);
    assert_eq!(try_splice(), Ok(0));
    assert_eq!(file.state(), device::state_of(b"abc"));
}

fn splice_of_a_socket() {
    let data = reference::noise(30_000, 105);
    let (mut sender, receiver) = UnixStream::pair().expect("a socket pair");
    sender.write_all(&data).expect("write");
    let (reader, writer) = unistd::pipe().expect("pipe");
    let file = device::private();
    let mut done = 0;
    while done < data.len() {
        let count = splice(&receiver, &writer, data.len() - done).expect("splice");
        splice_whole(&reader, &file, count);
        done += count;
    }
    assert_eq!(file.state(), device::state_of(&data));
}

fn tee_feeds_two_files() {
    let data = reference::noise(30_000, 106);
    let (reader, writer) = unistd::pipe().expect("pipe");
    File::from(writer).write_all(&data).expect("write");
    let (copy, copy_writer) = unistd::pipe().expect("pipe");
    let count = fcntl::tee(&reader, &copy_writer, data.len(), SpliceFFlags::empty());
    assert_eq!(count, Ok(data.len()));
    let files = [device::private(), device::private()];
    splice_whole(&copy, &files[0], data.len());
    splice_whole(&reader, &files[1], data.len());
    for file in files {
        assert_eq!(file.state(), device::state_of(&data));
    }
    // tee(2) writes to pipes alone.
    let refused = fcntl::tee(&reader, device::private(), 1, SpliceFFlags::empty());
    assert_eq!(refused.errno(), Errno::EINVAL);
}

fn splice_reads_the_text() {
    let file = device::private();
    file.write_whole(b"Wikipedia");
    let (reader, writer) = unistd::pipe().expect("pipe");
    assert_eq!(splice(&file, &writer, 100), Ok(9));
    drop(writer);
    assert_eq!(device::read_rest(&File::from(reader)), "11e60398\n");
}

fn vmsplice_feeds_memory() {
    // First from the middle of a page, then whole pages as a gift.
    let mut map = Map::new(10 * page_size());
    let data = reference::noise(map.size(), 24);
    map.bytes().copy_from_slice(&data);
    for (start, flags) in [(1, SpliceFFlags::empty()), (0, SpliceFFlags::SPLICE_F_GIFT)] {
        let (reader, writer) = unistd::pipe().expect("pipe");
        let slices = [IoSlice::new(&map.bytes()[start..])];
        let fed = fcntl::vmsplice(&writer, &slices, flags).expect("vmsplice");
        let file = device::private();
        splice_whole(&reader, &file, fed);
        let expected = device::state_of(&data[start..start + fed]);
        assert_eq!(file.state(), expected);
    }
}

/// Memory errors that the hardware reports after the pages went into a pipe. Here the kernel only
/// marks the page.
fn broken_memory_is_an_error() -> Completion {
    let mut map = Map::new(4 * page_size());
    map.bytes().fill(1);
    let (reader, writer) = unistd::pipe().expect("pipe");
    let slices = [IoSlice::new(map.bytes())];
    let fed = fcntl::vmsplice(&writer, &slices, SpliceFFlags::empty()).expect("vmsplice");
    assert_eq!(fed, 4 * page_size());
    let page = NonNull::new((map.address() + page_size()) as *mut c_void).expect("an address");
    // SAFETY: Nothing uses the page after this.
    let marked = unsafe { mman::madvise(page, page_size(), MmapAdvise::MADV_HWPOISON) };
    if marked == Err(Errno::EINVAL) {
        return Completion::ignored_with("this kernel cannot mark memory (CONFIG_MEMORY_FAILURE)");
    }
    // The kernel cannot take the page away from the pipe.
    assert!(matches!(marked, Ok(()) | Err(Errno::EBUSY)), "{marked:?}");
    let file = device::private();
    assert_eq!(splice(&reader, &file, page_size()), Ok(page_size()));
    assert_eq!(splice(&reader, &file, page_size()), Err(Errno::EIO));
    assert_eq!(file.state(), device::state_of(&vec![1; page_size()]));
    Completion::Completed
}

fn splice_updates_what_append_reads() {
    as_fresh_user(|| {
        let data = reference::noise(10_000, 25);
        let file = device::replace();
        let count = sendfile::sendfile(&file, file_of(&data), None, data.len());
        assert_eq!(count, Ok(data.len()));
        drop(file);
        let file = device::append();
        // The kernel refuses to splice to a file with O_APPEND.
        let refused = sendfile::sendfile(&file, file_of(&data), None, data.len());
        assert_eq!(refused.errno(), Errno::EINVAL);
        file.write_whole(&data);
        drop(file);
        assert_eq!(device::slot(), device::state_of(&data.repeat(2)));
    });
}
