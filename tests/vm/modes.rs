// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The modes of a session, and the text and the position of an open file.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use libc::O_ACCMODE;
use libc::O_APPEND;
use libc::O_CREAT;
use libc::O_DIRECT;
use libc::O_NONBLOCK;
use libc::O_RDONLY;
use libc::O_RDWR;
use libc::O_TRUNC;
use libc::O_WRONLY;
use nix::errno::Errno;
use nix::unistd;

use adler32_tests::device;
use adler32_tests::device::Device;
use adler32_tests::device::EMPTY;
use adler32_tests::memory;
use adler32_tests::module;
use adler32_tests::process::as_fresh_user;
use adler32_tests::reference;
use adler32_tests::trials;
use adler32_tests::ErrnoOf;

trials!(after module::ensure_loaded:
    known_answers,
    fresh_slot_is_empty,
    write_only_replaces,
    write_only_closed_unwritten_resets,
    append_continues,
    append_closed_unwritten_keeps,
    closed_unwritten_keeps_a_newer_slot,
    every_change_is_stored,
    append_starts_from_the_slot_at_open,
    read_write_is_private,
    read_write_with_append_is_private,
    mode_three_is_private,
    direct_io_is_refused,
    slot_is_published_at_close_alone,
    last_close_wins,
    slot_keeps_the_length,
    read_only_is_a_view,
    view_is_taken_when_reading_starts,
    view_is_stable_while_it_is_read,
    get_refreshes_the_view,
    text_is_eight_digits_and_newline,
    read_one_byte_at_a_time,
    pread_at_every_position,
    read_into_several_buffers,
    read_ends,
    write_read_write_read,
    write_rewinds,
    lseek_rules,
    pwrite_keeps_the_position,
    wrong_direction_is_refused,
    empty_write_changes_nothing,
    lengths_around_every_boundary,
    pieces_of_any_size,
    reset_at_close_after_writes,
);

fn known_answers() {
    as_fresh_user(|| {
        for (data, text) in [
            ("", "00000001\n"),
            ("a", "00620062\n"),
            ("abc", "024d0127\n"),
            ("abcde", "05c801f0\n"),
            ("Wikipedia", "11e60398\n"),
        ] {
            device::publish(data.as_bytes());
            assert_eq!(device::read_rest(&device::view()), text, "{data:?}");
        }
    });
}

fn fresh_slot_is_empty() {
    as_fresh_user(|| {
        assert_eq!(device::read_rest(&device::view()), "00000001\n");
        assert_eq!(device::slot(), EMPTY);
    });
}

fn write_only_replaces() {
    for flags in [
        O_WRONLY,
        O_WRONLY | O_TRUNC,
        O_WRONLY | O_CREAT | O_TRUNC,
        O_WRONLY | O_NONBLOCK,
    ] {
        device::publish(b"something else");
        let file = device::open(flags).expect("open");
        assert_eq!(file.state(), EMPTY, "{flags:#x}");
        file.write_whole(b"ab");
        file.write_whole(b"c");
        drop(file);
        assert_eq!(device::slot(), device::state_of(b"abc"), "{flags:#x}");
    }
}

fn write_only_closed_unwritten_resets() {
    device::publish(b"abc");
    drop(device::replace());
    assert_eq!(device::slot(), EMPTY);
}

fn append_continues() {
    for flags in [
        O_WRONLY | O_APPEND,
        O_WRONLY | O_APPEND | O_CREAT,
        O_WRONLY | O_APPEND | O_TRUNC,
    ] {
        as_fresh_user(|| {
            for (data, so_far) in [("Wiki", "Wiki"), ("ped", "Wikiped"), ("ia", "Wikipedia")] {
                let file = device::open(flags).expect("open");
                file.write_whole(data.as_bytes());
                drop(file);
                assert_eq!(device::slot(), device::state_of(so_far.as_bytes()));
            }
        });
    }
}

fn append_closed_unwritten_keeps() {
    device::publish(b"abc");
    let file = device::append();
    assert_eq!(file.state(), device::state_of(b"abc"));
    drop(file);
    assert_eq!(device::slot(), device::state_of(b"abc"));
}

/// As in `cp FILE /dev/stdout > /dev/adler32`, where the session of the shell is closed last.
fn closed_unwritten_keeps_a_newer_slot() {
    for open in [device::replace, device::append] {
        for newer in [&b"abc"[..], b""] {
            device::publish(b"old");
            let unwritten = open();
            device::publish(newer);
            assert_eq!(unistd::write(&unwritten, b""), Ok(0));
            drop(unwritten);
            assert_eq!(device::slot(), device::state_of(newer));
        }
    }
    // Reading the slot is no change.
    let unwritten = device::replace();
    device::publish(b"abc");
    let later = device::replace();
    assert_eq!(device::slot(), device::state_of(b"abc"));
    drop(unwritten);
    assert_eq!(device::slot(), device::state_of(b"abc"));
    drop(later);
    assert_eq!(device::slot(), EMPTY);
}

fn every_change_is_stored() {
    let changes: [fn(&File) -> io::Result<()>; 4] = [
        |file| file.reset(),
        |file| file.set(EMPTY),
        |file| file.combine(EMPTY),
        |file| file.update(b""),
    ];
    for change in changes {
        let file = device::replace();
        device::publish(b"abc");
        change(&file).expect("ioctl");
        drop(file);
        assert_eq!(device::slot(), EMPTY);
    }
}

fn append_starts_from_the_slot_at_open() {
    device::publish(b"Wiki");
    let file = device::append();
    device::publish(b"something else");
    file.write_whole(b"pedia");
    drop(file);
    assert_eq!(device::slot(), device::state_of(b"Wikipedia"));
}

/// Checks that a session starts empty, and that neither a write nor the close changes the slot.
#[track_caller]
fn assert_private(flags: i32) {
    device::publish(b"abc");
    let file = device::open(flags).expect("open");
    assert_eq!(file.state(), EMPTY);
    file.write_whole(b"private");
    assert_eq!(file.state(), device::state_of(b"private"));
    assert_eq!(device::slot(), device::state_of(b"abc"));
    drop(file);
    assert_eq!(device::slot(), device::state_of(b"abc"));
}

fn read_write_is_private() {
    assert_private(O_RDWR);
    assert_private(O_RDWR | O_TRUNC);
    assert_private(O_RDWR | O_CREAT);
}

fn read_write_with_append_is_private() {
    assert_private(O_RDWR | O_APPEND);
}

fn mode_three_is_private() {
    device::publish(b"abc");
    let file = device::open(O_ACCMODE).expect("open");
    assert_eq!(file.state(), EMPTY);
    assert_eq!((&file).write(b"x").errno(), Errno::EBADF);
    assert_eq!((&file).read(&mut [0]).errno(), Errno::EBADF);
    assert_eq!(file.update(b"x").errno(), Errno::EBADF);
    assert_eq!(file.reset().errno(), Errno::EBADF);
    assert_eq!(file.set(EMPTY).errno(), Errno::EBADF);
    assert_eq!(file.combine(EMPTY).errno(), Errno::EBADF);
    assert_eq!(file.digest(1, b"abc").expect("DIGEST"), 0x024d_0127);
    assert_eq!(file.state(), EMPTY);
    drop(file);
    assert_eq!(device::slot(), device::state_of(b"abc"));
}

fn direct_io_is_refused() {
    device::publish(b"abc");
    for flags in [O_RDONLY, O_WRONLY, O_WRONLY | O_APPEND, O_RDWR] {
        assert_eq!(
            device::open(flags | O_DIRECT).errno(),
            Errno::EINVAL,
            "{flags:#x}"
        );
        assert_eq!(device::slot(), device::state_of(b"abc"), "{flags:#x}");
    }
    assert_eq!(module::refcount(), Some(0));
}

fn slot_is_published_at_close_alone() {
    device::publish(b"old");
    let file = device::replace();
    assert_eq!(device::slot(), device::state_of(b"old"), "at open");
    file.write_whole(b"new");
    assert_eq!(device::slot(), device::state_of(b"old"), "while open");
    drop(file);
    assert_eq!(device::slot(), device::state_of(b"new"), "after close");
}

fn last_close_wins() {
    let (first, second) = (device::replace(), device::replace());
    first.write_whole(b"first");
    second.write_whole(b"second");
    drop(second);
    assert_eq!(device::slot(), device::state_of(b"second"));
    drop(first);
    assert_eq!(device::slot(), device::state_of(b"first"));
}

fn slot_keeps_the_length() {
    let data = reference::noise(100_000, 1);
    device::publish(&data);
    assert_eq!(device::view().state().length, 100_000);
    let file = device::append();
    file.write_whole(b"x");
    assert_eq!(file.state().length, 100_001);
}

fn read_only_is_a_view() {
    for flags in [
        O_RDONLY,
        O_RDONLY | O_APPEND,
        O_RDONLY | O_CREAT,
        O_RDONLY | O_NONBLOCK,
    ] {
        device::publish(b"abc");
        let file = device::open(flags).expect("open");
        assert_eq!(device::read_rest(&file), "024d0127\n", "{flags:#x}");
        assert_eq!(file.state(), device::state_of(b"abc"), "{flags:#x}");
        assert_eq!(file.reset().errno(), Errno::EBADF);
        drop(file);
        assert_eq!(device::slot(), device::state_of(b"abc"), "{flags:#x}");
    }
}

fn view_is_taken_when_reading_starts() {
    device::publish(b"old");
    let file = device::view();
    device::publish(b"new");
    assert_eq!(
        device::read_rest(&file),
        reference::text(reference::adler(b"new"))
    );
}

fn view_is_stable_while_it_is_read() {
    let (old, new) = (reference::adler(b"old"), reference::adler(b"new"));
    device::publish(b"old");
    let mut file = device::view();
    let mut start = [0; 4];
    file.read_exact(&mut start).expect("read");
    device::publish(b"new");
    let rest = device::read_rest(&file);
    assert_eq!(
        [&start, rest.as_bytes()].concat(),
        reference::text(old).as_bytes()
    );
    file.rewind().expect("lseek");
    assert_eq!(
        device::read_rest(&file),
        reference::text(new),
        "after a seek to 0"
    );
    device::publish(b"old");
    assert_eq!(file.text(), reference::text(old), "pread at 0");

    // A first read in the middle takes the view, too.
    let file = device::view();
    let mut end = [0; 8];
    let len = file.read_at(&mut end, 4).expect("pread");
    assert_eq!(&end[..len], &reference::text(old).as_bytes()[4..]);
    device::publish(b"new");
    let len = file.read_at(&mut end, 1).expect("pread");
    assert_eq!(&end[..len], &reference::text(old).as_bytes()[1..]);
}

fn get_refreshes_the_view() {
    let file = device::view();
    for data in [b"one", b"two"] {
        device::publish(data);
        assert_eq!(file.state(), device::state_of(data));
    }
}

fn text_is_eight_digits_and_newline() {
    let file = device::private();
    for value in [0, 1, 0xa, 0xf0_000f, 0xfff0_fff0, 0x00ab_cdef] {
        file.set(device::state(value, 5)).expect("SET");
        assert_eq!(file.text(), format!("{value:08x}\n"));
    }
}

fn read_one_byte_at_a_time() {
    let mut file = device::private();
    file.write_whole(b"Wikipedia");
    for expected in b"11e60398\n" {
        let mut byte = [0];
        assert_eq!(file.read(&mut byte).expect("read"), 1);
        assert_eq!(byte[0], *expected);
    }
    assert_eq!(file.read(&mut [0]).expect("read"), 0);
}

fn pread_at_every_position() {
    let file = device::private();
    file.write_whole(b"Wikipedia");
    let text = b"11e60398\n";
    for position in 0..=text.len() {
        for room in 1..=10 {
            let mut buffer = [0xff; 10];
            let len = file
                .read_at(&mut buffer[..room], position as u64)
                .expect("pread");
            let expected = &text[position..(position + room).min(text.len())];
            assert_eq!(&buffer[..len], expected, "{room} bytes at {position}");
            assert!(
                buffer[len..].iter().all(|&byte| byte == 0xff),
                "the kernel wrote behind the text"
            );
        }
    }
    for position in [10, 4096, i64::MAX as u64 - 16] {
        assert_eq!(
            file.read_at(&mut [0; 16], position).expect("pread"),
            0,
            "{position}"
        );
    }
    assert_eq!(file.read_at(&mut [0], u64::MAX).errno(), Errno::EINVAL);
}

fn read_into_several_buffers() {
    let mut file = device::private();
    file.write_whole(b"Wikipedia");
    let mut parts = [[0; 2], [0; 2], [0; 2], [0; 2], [0; 2]];
    let mut slices: Vec<_> = parts
        .iter_mut()
        .map(|part| std::io::IoSliceMut::new(part))
        .collect();
    assert_eq!(file.read_vectored(&mut slices).expect("readv"), 9);
    assert_eq!(parts.concat(), b"11e60398\n\0");
}

fn read_ends() {
    let mut file = device::private();
    file.write_whole(b"abc");
    assert_eq!(file.read(&mut [0; 100]).expect("read"), 9);
    for _ in 0..3 {
        assert_eq!(file.read(&mut [0; 100]).expect("read"), 0);
    }
    assert_eq!(file.stream_position().expect("lseek"), 9);
}

fn write_read_write_read() {
    let file = device::private();
    let mut so_far = Vec::new();
    for data in ["Wiki", "ped", "", "ia"] {
        if !data.is_empty() {
            file.write_whole(data.as_bytes());
            so_far.extend_from_slice(data.as_bytes());
            assert_eq!(
                device::read_rest(&file),
                reference::text(reference::adler(&so_far))
            );
        }
    }
    // RESET leaves the position as it is.
    file.reset().expect("RESET");
    assert_eq!(file.text(), "00000001\n");
}

fn write_rewinds() {
    let mut file = device::private();
    file.write_whole(b"Wiki");
    file.read_exact(&mut [0; 5]).expect("read");
    file.write_whole(b"pedia");
    assert_eq!(file.stream_position().expect("lseek"), 0);
    assert_eq!(device::read_rest(&file), "11e60398\n");
}

fn lseek_rules() {
    for (mut file, view) in [(device::private(), false), (device::view(), true)] {
        for position in [0, 1, 8, 9] {
            assert_eq!(
                file.seek(SeekFrom::Start(position)).expect("lseek"),
                position
            );
            assert_eq!(file.stream_position().expect("lseek"), position);
        }
        assert_eq!(file.seek(SeekFrom::End(0)).expect("lseek"), 9);
        assert_eq!(file.seek(SeekFrom::End(-9)).expect("lseek"), 0);
        assert_eq!(file.seek(SeekFrom::End(-4)).expect("lseek"), 5);
        assert_eq!(file.seek(SeekFrom::Current(-2)).expect("lseek"), 3);
        for refused in [
            SeekFrom::Start(10),
            SeekFrom::Start(i64::MAX as u64),
            SeekFrom::Start(u64::MAX),
            SeekFrom::End(1),
            SeekFrom::End(-10),
            SeekFrom::End(i64::MIN),
            SeekFrom::End(i64::MAX),
            SeekFrom::Current(-4),
            SeekFrom::Current(i64::MIN),
        ] {
            assert_eq!(file.seek(refused).errno(), Errno::EINVAL, "{refused:?}");
            assert_eq!(file.stream_position().expect("lseek"), 3, "{refused:?}");
        }
        // A file that is open for writing refuses all holes, see `stream.rs`.
        let holes = [SeekFrom::Current(7), SeekFrom::Current(i64::MAX)].map(|to| file.seek(to));
        let errno = if view { Errno::EINVAL } else { Errno::ESPIPE };
        assert_eq!(holes.map(ErrnoOf::errno), [errno; 2]);
        for whence in [libc::SEEK_DATA, libc::SEEK_HOLE, 5, 99, -1] {
            // SAFETY: The call takes no pointers.
            let position = unsafe { libc::lseek(file.as_raw_fd(), 0, whence) };
            assert_eq!(
                Errno::result(position).errno(),
                Errno::EINVAL,
                "whence {whence}"
            );
        }
        assert_eq!(
            file.read(&mut [0; 20]).expect("read"),
            6,
            "the rest after position 3"
        );
    }
}

fn pwrite_keeps_the_position() {
    let mut file = device::private();
    file.write_whole(b"Wikipedia");
    assert_eq!(file.write_at(b"x", u64::MAX).errno(), Errno::EINVAL);
    file.seek(SeekFrom::Start(5)).expect("lseek");
    assert_eq!(file.write_at(b"x", 9).expect("pwrite"), 1);
    assert_eq!(device::read_rest(&file), "410\n", "of 15f60410");
}

fn wrong_direction_is_refused() {
    device::publish(b"abc");
    assert_eq!((&device::view()).write(b"x").errno(), Errno::EBADF);
    assert_eq!(device::view().write_at(b"x", 0).errno(), Errno::EBADF);
    for file in [device::replace(), device::append()] {
        assert_eq!((&file).read(&mut [0; 9]).errno(), Errno::EBADF);
        assert_eq!(file.read_at(&mut [0; 9], 0).errno(), Errno::EBADF);
    }
}

fn empty_write_changes_nothing() {
    let mut file = device::private();
    file.write_whole(b"abc");
    file.read_exact(&mut [0; 5]).expect("read");
    file.write_whole(b"");
    assert_eq!(memory::writev_from(&file, &[]).expect("writev"), 0);
    assert_eq!(
        memory::writev_from(&file, &[(0, 0), (1, 0)]).expect("writev"),
        0
    );
    assert_eq!(file.stream_position().expect("lseek"), 5);
    assert_eq!(file.state(), device::state_of(b"abc"));
}

fn lengths_around_every_boundary() {
    let data = reference::noise(300_000, 2);
    let file = device::private();
    let mut lengths: Vec<usize> = (0..300).collect();
    for boundary in [5552, 4096, 8192, 16384, 32768, 65536, 131_072, 262_144] {
        lengths.extend(boundary - 2..=boundary + 2);
    }
    for len in lengths {
        // Each length at another alignment.
        let piece = &data[len % 64..][..len];
        file.reset().expect("RESET");
        file.write_whole(piece);
        assert_eq!(file.state(), device::state_of(piece), "{len} bytes");
    }
    // The largest start and the largest bytes.
    let ones = vec![0xff; 300_000];
    file.set(device::state(0xfff0_fff0, 0)).expect("SET");
    file.write_whole(&ones);
    let expected = reference::append(0xfff0_fff0, &ones);
    assert_eq!(file.state(), device::state(expected, 300_000));
}

fn pieces_of_any_size() {
    let data = reference::noise(200_000, 3);
    let file = device::private();
    let mut rest = &data[..];
    for size in [1, 2, 3, 5, 7, 15, 16, 17, 63, 255, 1021, 4096, 5552, 65_521]
        .iter()
        .cycle()
    {
        let (piece, after) = rest.split_at(rest.len().min(*size));
        file.write_whole(piece);
        rest = after;
        let so_far = data.len() - rest.len();
        assert_eq!(file.state(), device::state_of(&data[..so_far]));
        if rest.is_empty() {
            break;
        }
    }
}

fn reset_at_close_after_writes() {
    device::publish(b"old");
    let file = device::replace();
    file.write_whole(b"abc");
    file.reset().expect("RESET");
    file.write_whole(b"Wikipedia");
    drop(file);
    assert_eq!(device::slot(), device::state_of(b"Wikipedia"));
    let file = device::append();
    file.set(device::state(0x0062_0062, 1)).expect("SET");
    file.update(b"bc").expect("UPDATE");
    drop(file);
    assert_eq!(device::slot(), device::state_of(b"abc"));
}
