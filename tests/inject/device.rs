// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `/dev/adler32`.

use std::fmt::Debug;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use adler32::uapi::State;
use libc::c_int;
use nix::errno::Errno;
use nix::fcntl;
use nix::fcntl::SpliceFFlags;
use nix::sys::sendfile;
use nix::unistd;

use crate::points::count_points;
use crate::points::each_point;
use adler32_tests::device;
use adler32_tests::device::Device;
use adler32_tests::device::EMPTY;
use adler32_tests::memory;
use adler32_tests::memory::page_size;
use adler32_tests::memory::Map;
use adler32_tests::module;
use adler32_tests::process::fresh_user;
use adler32_tests::process::in_thread;
use adler32_tests::process::set_thread_uids;
use adler32_tests::reference;
use adler32_tests::trials;

trials!(after module::ensure_loaded:
    open_view,
    open_replace,
    open_append,
    open_private,
    open_for_ioctls,
    close,
    write_16_bytes,
    write_300_bytes,
    write_1_mib,
    write_to_the_slot,
    write_absent_pages,
    writev,
    read,
    ioctl_get,
    ioctl_set,
    ioctl_update,
    ioctl_digest,
    ioctl_combine,
    ioctl_info,
    fdinfo,
    splice,
    splice_out,
    sendfile_1_mib,
);

/// Opens the device in one mode, each time as a user without a slot. Then the open file and the
/// slot work.
fn open(flags: c_int, published: State) {
    // In a new thread, because the thread stays the user.
    in_thread(|| {
        keep_rights();
        each_point(
            &[],
            || set_thread_uids(-1, fresh_user().into(), -1),
            |()| device::open(flags),
            |(), result| {
                let mut slot = EMPTY;
                if let Ok(file) = result {
                    // Not all modes can write.
                    let _ = memory::write_from(file, b"abc".as_ptr() as usize, 3);
                    slot = published;
                }
                assert_eq!(device::slot(), slot);
                drop(device::open(flags).expect("open"));
                device::publish(b"de");
                assert_eq!(device::slot(), device::state_of(b"de"));
            },
        );
    });
}

/// Keeps root's rights, which the points need, when the calling thread becomes another user.
fn keep_rights() {
    // SAFETY: The call takes no pointers.
    let status = unsafe { libc::prctl(libc::PR_SET_SECUREBITS, libc::SECBIT_NO_SETUID_FIXUP) };
    assert_eq!(status, 0, "prctl");
}

fn open_view() {
    open(libc::O_RDONLY, EMPTY);
}

fn open_replace() {
    open(libc::O_WRONLY, device::state_of(b"abc"));
}

fn open_append() {
    open(libc::O_WRONLY | libc::O_APPEND, device::state_of(b"abc"));
}

fn open_private() {
    open(libc::O_RDWR, EMPTY);
}

fn open_for_ioctls() {
    open(libc::O_ACCMODE, EMPTY);
}

/// Closing loses nothing of what was written: no step of it can fail.
fn close() {
    let points = count_points(
        &[],
        || {
            device::publish(b"");
            let file = device::replace();
            file.write_whole(b"abc");
            Some(file)
        },
        |file| {
            drop(file.take());
            Ok(())
        },
        |_, _| assert_eq!(device::slot(), device::state_of(b"abc")),
    );
    assert_eq!(points, 0);
}

/// Passes `data` to the device: `feed` returns how much of the data it passed on, and the rest is
/// then written. `feed` can use what `prepare` returns.
#[track_caller]
fn consume<S>(
    out_of_memory: &[Errno],
    data: &[u8],
    mut prepare: impl FnMut() -> S,
    mut feed: impl FnMut(&File, &mut S) -> io::Result<usize>,
) {
    each_point(
        out_of_memory,
        || (device::private(), prepare()),
        |(file, prepared)| feed(file, prepared),
        |(file, _), result| {
            let (done, rest) = data.split_at(result.unwrap_or(0));
            assert_eq!(file.state(), device::state_of(done));
            file.write_whole(rest);
            assert_eq!(file.state(), device::state_of(data));
        },
    );
}

/// Makes a call on a session that covers `abc`. If the call succeeds, the session is `expected`.
#[track_caller]
fn change<T: Debug>(expected: State, call: impl Fn(&File) -> io::Result<T>) {
    each_point(
        &[],
        || {
            let file = device::private();
            file.write_whole(b"abc");
            file
        },
        |file| call(file),
        |file, result| {
            if result.is_err() {
                assert_eq!(file.state(), device::state_of(b"abc"));
                call(&file).expect("the next try");
            }
            assert_eq!(file.state(), expected);
        },
    );
}

/// Makes a call that returns `expected` for a session that covers `abc`.
#[track_caller]
fn look<T: Debug + PartialEq>(expected: T, call: impl Fn(&File) -> io::Result<T>) {
    change(device::state_of(b"abc"), |file| {
        let found = call(file)?;
        assert_eq!(found, expected);
        Ok(())
    });
}

fn write(len: usize) {
    let data = reference::noise(len, 100);
    let address = data.as_ptr() as usize;
    consume(
        &[],
        &data,
        || {},
        |file, ()| memory::write_from(file, address, len),
    );
}

fn write_16_bytes() {
    write(16);
}

fn write_300_bytes() {
    write(300);
}

fn write_1_mib() {
    write(1 << 20);
}

/// The first write allocates the slot.
fn write_to_the_slot() {
    each_point(
        &[],
        || {
            device::publish(b"");
            device::replace()
        },
        |file| memory::write_from(&*file, b"abc".as_ptr() as usize, 3),
        |file, result| {
            drop(file);
            let written = &b"abc"[..result.unwrap_or(0)];
            assert_eq!(device::slot(), device::state_of(written));
        },
    );
}

/// The kernel allocates the pages of untouched memory while it copies them. A page that cannot be
/// allocated counts as a bad address.
fn write_absent_pages() {
    const LEN: usize = 64 << 10;
    consume(
        &[Errno::EFAULT],
        &[0; LEN],
        || Map::new(LEN),
        |file, map| memory::write_from(file, map.address(), LEN),
    );
}

/// Writes more pieces than the kernel keeps on its stack. Short and long pieces alternate.
fn writev() {
    let data = reference::noise(20 * page_size(), 101);
    let mut pieces = Vec::new();
    for (number, page) in data.chunks(page_size()).enumerate() {
        let (first, second) = page.split_at(if number % 2 == 0 { 100 } else { page_size() });
        pieces.extend([first, second].map(|piece| (piece.as_ptr() as usize, piece.len())));
    }
    consume(
        &[],
        &data,
        || {},
        |file, ()| memory::writev_from(file, &pieces),
    );
}

fn read() {
    look(*b"024d0127\n", |file| {
        let mut text = [0; 9];
        file.read_at(&mut text, 0)?;
        Ok(text)
    });
}

fn ioctl_get() {
    look(device::state_of(b"abc"), Device::get);
}

fn ioctl_set() {
    let state = device::state_of(b"Wikipedia");
    change(state, |file| file.set(state));
}

fn ioctl_update() {
    for len in [300, 64 << 10] {
        let data = reference::noise(len, 102);
        let all = [b"abc", &data[..]].concat();
        change(device::state_of(&all), |file| file.update(&data));
    }
}

fn ioctl_digest() {
    for len in [300, 64 << 10] {
        let data = reference::noise(len, 103);
        look(reference::adler(&data), |file| file.digest(1, &data));
    }
}

fn ioctl_combine() {
    let part = device::state_of(b"de");
    change(device::state_of(b"abcde"), |file| file.combine(part));
}

fn ioctl_info() {
    let info = device::view().info().expect("INFO");
    look(info, Device::info);
}

fn fdinfo() {
    look("024d0127".to_owned(), |file| {
        let text = fs::read_to_string(format!("/proc/thread-self/fdinfo/{}", file.as_raw_fd()))?;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix("adler32-value:\t"));
        Ok(value.unwrap_or_default().to_owned())
    });
}

fn splice() {
    let data = reference::noise(40_000, 104);
    consume(
        &[],
        &data,
        || {
            let (reader, writer) = unistd::pipe().expect("pipe");
            File::from(writer).write_all(&data).expect("write");
            reader
        },
        |file, pipe| {
            let flags = SpliceFFlags::empty();
            Ok(fcntl::splice(pipe, None, file, None, data.len(), flags)?)
        },
    );
}

/// The text is in the pipe even if the kernel cannot return the new position.
fn splice_out() {
    let text = |file: &File, pipe: &OwnedFd| {
        let flags = SpliceFFlags::empty();
        Ok(fcntl::splice(
            file,
            Some(&mut 0),
            pipe,
            None,
            page_size(),
            flags,
        )?)
    };
    each_point(
        &[],
        || {
            let file = device::private();
            file.write_whole(b"abc");
            (file, unistd::pipe().expect("pipe"))
        },
        |(file, (_, writer))| text(file, writer),
        |(file, (reader, writer)), result| {
            let mut most = 1;
            if result.is_err() {
                text(&file, &writer).expect("the next try");
                most = 2;
            }
            drop(writer);
            let found = io::read_to_string(File::from(reader)).expect("read");
            let found: Vec<_> = found.lines().collect();
            assert!((1..=most).contains(&found.len()), "{found:?}");
            assert!(found.iter().all(|&line| line == "024d0127"), "{found:?}");
            assert_eq!(file.state(), device::state_of(b"abc"));
        },
    );
}

fn sendfile_1_mib() {
    let data = reference::noise(1 << 20, 105);
    let mut source = tempfile::tempfile().expect("a temporary file");
    source.write_all(&data).expect("write");
    consume(
        &[],
        &data,
        || {},
        |file, ()| Ok(sendfile::sendfile(file, &source, Some(&mut 0), data.len())?),
    );
}
