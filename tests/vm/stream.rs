// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The device as a stream: a program that writes gets the right checksum or an error, even if it
//! changes positions. `writers.rs` runs such programs.

use std::fs::File;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl;
use nix::fcntl::SpliceFFlags;
use nix::sys::uio;
use nix::unistd;

use adler32_tests::device;
use adler32_tests::device::Device;
use adler32_tests::module;
use adler32_tests::reference;
use adler32_tests::ring;
use adler32_tests::ring::Ring;
use adler32_tests::trials;
use adler32_tests::ErrnoOf;

trials!(after module::ensure_loaded:
    writers_seek_nowhere,
    private_files_seek_in_the_text,
    pwrite_continues_or_fails,
    rings_continue_or_fail,
    splices_continue_or_fail,
);

/// Opens the device in each mode for writing. The slot is not empty.
fn writable() -> [(&'static str, File); 3] {
    device::publish(b"the slot");
    [
        ("replace", device::replace()),
        ("append", device::append()),
        ("private", device::private()),
    ]
}

fn writers_seek_nowhere() {
    for mut file in [device::replace(), device::append()] {
        let mut written = 0;
        for data in [&b"Wiki"[..], b"pedia, the free encyclopedia"] {
            assert_eq!(file.stream_position().expect("lseek"), written);
            assert_eq!(file.seek(SeekFrom::Start(written)).expect("lseek"), written);
            for refused in [
                SeekFrom::Start(written + 1),
                SeekFrom::Start(written + 4096),
                SeekFrom::Current(1),
                SeekFrom::Current(-1),
                SeekFrom::End(0),
                SeekFrom::End(4),
            ] {
                assert_eq!(file.seek(refused).errno(), Errno::ESPIPE, "{refused:?}");
            }
            file.write_whole(data);
            written += data.len() as u64;
            assert_eq!(file.seek(SeekFrom::Start(0)).errno(), Errno::ESPIPE);
        }
        // SAFETY: The call takes no pointers.
        let position = unsafe { libc::lseek(file.as_raw_fd(), 0, 99) };
        assert_eq!(Errno::result(position).errno(), Errno::EINVAL);
    }
}

fn private_files_seek_in_the_text() {
    let mut file = device::private();
    assert_eq!(file.seek(SeekFrom::Current(4)).errno(), Errno::ESPIPE);
    file.rewind().expect("nothing has been written");
    file.write_whole(b"Wiki");
    // A program that goes back to overwrite data.
    file.rewind().expect("lseek");
    let refused = unistd::write(&file, b"x");
    assert_eq!(refused.errno(), Errno::ESPIPE);
    // A program that goes back to read the text.
    assert_eq!(
        device::read_rest(&file),
        reference::text(reference::adler(b"Wiki"))
    );
    file.write_whole(b"pedia");
    // A program that leaves a hole.
    for hole in [SeekFrom::Start(9), SeekFrom::End(0)] {
        file.seek(hole).expect("lseek");
        assert_eq!(unistd::write(&file, b"x").errno(), Errno::ESPIPE);
    }
    assert_eq!(file.seek(SeekFrom::Start(10)).errno(), Errno::EINVAL);
    file.seek(SeekFrom::Start(5)).expect("lseek");
    let mut rest = [0; 9];
    assert_eq!(file.read(&mut rest).expect("read"), 4);
    file.write_whole(b".");
    assert_eq!(file.state(), device::state_of(b"Wikipedia."));
}

fn pwrite_continues_or_fails() {
    for (mode, file) in writable() {
        let before = device::fdinfo_state("self", file.as_raw_fd()).length;
        let mut written = 0;
        for data in [&b"W"[..], b"iki", b"pedia, the free encyclopedia"] {
            let far = i64::MAX as u64 - 4096;
            for refused in [written + 1, written + 4096, far] {
                let result = file.write_at(data, refused);
                assert_eq!(result.errno(), Errno::ESPIPE, "{mode}: {refused}");
            }
            if written > 0 {
                for refused in [0, written - 1] {
                    let result = file.write_at(data, refused);
                    assert_eq!(result.errno(), Errno::ESPIPE, "{mode}: {refused}");
                }
            }
            assert_eq!(file.write_at(data, written).expect(mode), data.len());
            written += data.len() as u64;
            // Writes without a position, and empty ones anywhere.
            file.write_whole(b"!");
            written += 1;
            assert_eq!(file.write_at(b"", 1 << 40).expect(mode), 0);
        }
        let after = device::fdinfo_state("self", file.as_raw_fd()).length;
        assert_eq!(after - before, written, "{mode}");
    }

    // The positions of files that can be read are offsets, too.
    for (file, taken) in [
        (device::replace(), Err(Errno::ESPIPE)),
        (device::append(), Err(Errno::ESPIPE)),
        (device::private(), Ok(1)),
    ] {
        for offset in 99_999_901..=99_999_910 {
            assert_eq!(uio::pwrite(&file, b"x", offset), taken, "{offset}");
        }
        for offset in [99_999_900, 99_999_911] {
            assert_eq!(uio::pwrite(&file, b"x", offset), Err(Errno::ESPIPE));
        }
    }

    let file = device::private();
    file.write_whole(b"abc");
    file.reset().expect("RESET");
    assert_eq!(file.write_at(b"abc", 3).errno(), Errno::ESPIPE);
    assert_eq!(file.write_at(b"abc", 0).expect("after RESET"), 3);
    file.update(b"de").expect("UPDATE");
    assert_eq!(file.write_at(b"f", 5).expect("after UPDATE"), 1);
    file.set(device::state(1, 1 << 33)).expect("SET");
    assert_eq!(file.write_at(b"g", 1 << 33).expect("after SET"), 1);
}

fn rings_continue_or_fail() {
    let data = reference::noise(8192, 90);
    let (first, second) = data.split_at(4096);
    for (mode, file) in writable() {
        let at =
            |data: &[u8], offset| ring::write_at(&file, data.as_ptr() as usize, data.len(), offset);
        let mut ring = Ring::open();
        assert_eq!(
            ring.run_one(at(second, 4096)).errno(),
            Errno::ESPIPE,
            "{mode}"
        );
        assert_eq!(ring.run_one(at(first, 0)).expect(mode), 4096);
        assert_eq!(ring.run_one(at(first, 0)).errno(), Errno::ESPIPE, "{mode}");
        assert_eq!(ring.run_one(at(second, 4096)).expect(mode), 4096);
        assert_eq!(ring.run_one(at(first, u64::MAX)).expect(mode), 4096);
        // Negative offsets, except -1.
        for refused in [i64::MIN, -(1 << 40)] {
            let result = ring.run_one(at(first, refused as u64));
            assert_eq!(result.errno(), Errno::ESPIPE, "{mode}: {refused}");
        }
    }
}

fn splices_continue_or_fail() {
    let splice_at = |file: &File, data: &[u8], offset: &mut i64| {
        let (reader, writer) = unistd::pipe().expect("pipe");
        unistd::write(&writer, data).expect("write");
        let offset = Some(offset);
        fcntl::splice(
            &reader,
            None,
            file,
            offset,
            data.len(),
            SpliceFFlags::empty(),
        )
    };
    for file in [device::replace(), device::private()] {
        let mut offset = 4;
        let refused = splice_at(&file, b"pedia", &mut offset);
        assert_eq!((refused.errno(), offset), (Errno::ESPIPE, 4));
        offset = 0;
        for data in [&b"Wiki"[..], b"pedia"] {
            let written = splice_at(&file, data, &mut offset);
            assert_eq!(written, Ok(data.len()));
        }
        assert_eq!(offset, 9, "the kernel advances the offset");
        let refused = splice_at(&file, b"x", &mut 0);
        assert_eq!(refused.errno(), Errno::ESPIPE);
        let fd = file.as_raw_fd();
        assert_eq!(
            device::fdinfo_state("self", fd),
            device::state_of(b"Wikipedia")
        );
    }
}
