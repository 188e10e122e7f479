// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How the library adler32 sums open files with every backend.

use std::fs;
use std::fs::File;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::num::NonZero;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use adler32::file;
use adler32::file::Options;
use adler32::file::Way;
use adler32::Adler32;
use adler32::AfAlg;
use adler32::Backend;
use adler32::BackendKind;
use adler32::Error;
use adler32::Sum;
use adler32::DEVICE_PATH;
use libc::c_long;
use libtest_mimic::Completion;
use nix::errno::Errno;
use nix::sys::pthread;
use nix::sys::stat::Mode;
use nix::unistd;
use tempfile::NamedTempFile;

use adler32_tests::module;
use adler32_tests::process;
use adler32_tests::process::alongside;
use adler32_tests::process::in_thread;
use adler32_tests::reference;
use adler32_tests::seccomp;
use adler32_tests::seccomp::Refused;
use adler32_tests::sh;
use adler32_tests::trials;

trials!(after module::ensure_loaded:
    regular_files,
    streams,
    files_of_the_kernel,
    position_in_the_middle,
    files_longer_than_a_call,
    ranges_of_a_file_with_holes,
    threads_of_the_device,
    device_that_fails_in_the_middle,
    seeded_sockets_keep_their_start,
    file_that_grows,
    file_that_shrinks,
    signals_lose_nothing,
    kernel_sends_files_and_pipes,
    refused_calls_are_made_up_for,
    unreadable_files,
    command_reads_what_is_left,
);

/// A directory in the root file system, and one in memory.
const DIRECTORIES: [&str; 2] = ["/var/tmp", "/dev/shm"];

/// The shortest file that the library sends, and the most that it sends in one call.
const SENT_FROM: usize = 128 * 1024 + 1;
const CALL_MAX: u64 = 1 << 30;

/// The backends to which the kernel can send a file.
const TAKE_PAGES: [BackendKind; 2] = [BackendKind::Device, BackendKind::AfAlg];

fn open(via: BackendKind) -> Backend {
    Backend::open(via).unwrap_or_else(|error| panic!("{via}: {error}"))
}

fn sum(value: u32, length: u64) -> Sum {
    let checksum = Adler32::from_value(value).expect("a possible value");
    Sum { checksum, length }
}

fn sum_of(data: &[u8]) -> Sum {
    sum(reference::adler(data), data.len() as u64)
}

/// Sums the rest of `file`. Checks that a session has the state that the library returns.
#[track_caller]
fn sum_left(backend: &mut Backend, file: impl AsFd) -> Sum {
    let via = backend.kind();
    let sum = backend.checksum_file(file, Options::default());
    let sum = sum.unwrap_or_else(|error| panic!("{via}: {error}"));
    if let Backend::Device(session) | Backend::Ioctl(session) = backend {
        assert_eq!(session.sum().expect("GET"), sum, "{via}");
    }
    sum
}

/// Makes a file of `data` in a directory, open at position 0.
fn file_in(directory: &str, data: &[u8]) -> NamedTempFile {
    let file = NamedTempFile::new_in(directory).expect("a temporary file");
    fs::write(file.path(), data).expect("write");
    file
}

/// Makes a file of `data` in memory, open at position 0.
fn file_of(data: &[u8]) -> NamedTempFile {
    file_in("/dev/shm", data)
}

fn regular_files() {
    let data = reference::noise(3_000_001, 80);
    for via in BackendKind::ALL {
        let mut backend = open(via);
        for directory in DIRECTORIES {
            for len in [
                data.len(),
                0,
                5,
                SENT_FROM - 1,
                SENT_FROM,
                SENT_FROM + 1,
                1 << 20,
            ] {
                let data = &data[..len];
                let mut file = file_in(directory, data);
                let found = sum_left(&mut backend, &file);
                assert_eq!(found, sum_of(data), "{via}: {len} bytes in {directory}");
                assert_eq!(file.stream_position().expect("lseek"), len as u64);
            }
        }
    }
}

/// Sums a stream while another thread writes `data` to it in pieces.
#[track_caller]
fn check_stream(
    backend: &mut Backend,
    (reader, writer): (impl Into<OwnedFd>, impl Into<OwnedFd>),
    data: &[u8],
) {
    let mut writer = File::from(writer.into());
    let found = thread::scope(|scope| {
        scope.spawn(move || {
            for (number, piece) in data.chunks(70_001).enumerate() {
                writer.write_all(piece).expect("write");
                if number % 4 == 0 {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        });
        sum_left(backend, reader.into())
    });
    assert_eq!(found, sum_of(data), "{}", backend.kind());
}

fn streams() {
    let data = reference::noise(1_000_003, 81);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let fifo = directory.path().join("fifo");
    unistd::mkfifo(&fifo, Mode::S_IRWXU).expect("mkfifo");
    for via in BackendKind::ALL {
        let mut backend = open(via);
        for data in [&data[..], &data[..5], b""] {
            check_stream(&mut backend, unistd::pipe().expect("pipe"), data);
            // Opening one end of a FIFO waits for the other end. Opening both does not wait.
            let mut options = File::options();
            let both = options.read(true).write(true).open(&fifo).expect("open");
            let reader = File::open(&fifo).expect("open");
            check_stream(&mut backend, (reader, both), data);
            let sockets = UnixStream::pair().expect("socketpair");
            check_stream(&mut backend, sockets, data);
        }
    }
}

/// Some of these files have a size of 0, some have too large a size, and some cannot be sent.
fn files_of_the_kernel() {
    let paths = [
        "/proc/version",
        "/proc/devices",
        "/sys/kernel/notes",
        "/sys/module/adler32/refcnt",
        "/dev/null",
    ];
    for path in paths {
        for via in [BackendKind::Cpu].into_iter().chain(TAKE_PAGES) {
            let mut backend = open(via);
            let content = fs::read(path).expect(path);
            let found = sum_left(&mut backend, File::open(path).expect(path));
            assert_eq!(found, sum_of(&content), "{via}: {path}");
        }
    }
}

fn position_in_the_middle() {
    let data = reference::noise(1_000_000, 82);
    let file = file_of(&data);
    let mut shared = file.as_file().try_clone().expect("dup");
    for via in BackendKind::ALL {
        let mut backend = open(via);
        for start in [1, 500_001, 999_999, 1_000_000, 1_000_001] {
            shared.seek(SeekFrom::Start(start)).expect("lseek");
            let rest = data.get(start as usize..).unwrap_or_default();
            assert_eq!(
                sum_left(&mut backend, &file),
                sum_of(rest),
                "{via}: {start}"
            );
            let position = shared.stream_position().expect("lseek");
            assert_eq!(position, start.max(1_000_000), "{via}");
        }
    }
}

/// Makes a file of `len` bytes, which are zeros except at the start and around the ends of calls.
/// Also returns its checksum, which continues `start`.
fn sparse(len: u64, start: u32) -> (NamedTempFile, u32) {
    let data = reference::noise(70_000, 83);
    let file = file_of(b"");
    file.as_file().set_len(len).expect("ftruncate");
    let (mut value, mut end) = (start, 0);
    let places = [0, CALL_MAX - 35_000, 2 * CALL_MAX - 35_000];
    for place in places.into_iter().filter(|place| place + 70_000 <= len) {
        file.as_file().write_all_at(&data, place).expect("pwrite");
        value = reference::append_repeated(value, 0, place - end);
        value = reference::append(value, &data);
        end = place + 70_000;
    }
    (file, reference::append_repeated(value, 0, len - end))
}

fn files_longer_than_a_call() {
    let len = 2 * CALL_MAX + 70_000;
    let (file, value) = sparse(len, 1);
    for via in TAKE_PAGES {
        file.as_file().rewind().expect("lseek");
        assert_eq!(sum_left(&mut open(via), &file), sum(value, len), "{via}");
    }
}

fn ranges_of_a_file_with_holes() {
    let (file, _) = sparse(CALL_MAX, 1);
    let island = reference::noise(70_000, 83);
    let hole = 1_000_000_000;
    for via in BackendKind::ALL {
        let mut backend = open(via);
        let mut sum_range = |range| backend.checksum_range(&file, range, Options::default());
        // Part of an island, part of the hole after it, and both.
        let found = sum_range(1000..70_000).expect("sum");
        assert_eq!(found, sum_of(&island[1000..]), "{via}");
        let zeros = sum(reference::append_repeated(1, 0, hole), hole);
        let found = sum_range(80_000..80_000 + hole).expect("sum");
        assert_eq!(found, zeros, "{via}");
        let both = reference::append_repeated(reference::adler(&island[1000..]), 0, hole);
        let found = sum_range(1000..70_000 + hole).expect("sum");
        assert_eq!(found, sum(both, 69_000 + hole), "{via}");
        assert_eq!(file.as_file().stream_position().expect("lseek"), 0);
    }
}

/// The length of a file of which several threads send parts.
const PARTS: usize = 36_000_000;

fn options(threads: usize, progress: Option<&(dyn Fn(Way, u64) + Sync)>) -> Options<'_> {
    Options {
        threads: NonZero::new(threads),
        device: true,
        progress,
        ..Options::default()
    }
}

fn threads_of_the_device() {
    let data = reference::noise(PARTS, 91);
    for (directory, threads) in DIRECTORIES.into_iter().zip([3, 2]) {
        let mut file = file_in(directory, &data);
        for via in [BackendKind::Device, BackendKind::Cpu] {
            let mut backend = open(via);
            for threads in [1, threads] {
                let sent = AtomicU64::new(0);
                let count = |way, bytes| {
                    if way == Way::Sent {
                        sent.fetch_add(bytes, Relaxed);
                    }
                };
                let options = options(threads, Some(&count));
                let case = format!("{via}, {threads} threads, {directory}");
                file.rewind().expect("lseek");
                let found = backend.checksum_file(&file, options).expect("sum");
                assert_eq!(found, sum_of(&data), "{case}");
                assert_eq!(file.stream_position().expect("lseek"), PARTS as u64);
                if let Backend::Device(session) = &backend {
                    assert_eq!(session.sum().expect("GET"), found, "{case}");
                }
                // Whether files of the root file system are in the page cache is not known.
                if directory == "/dev/shm" {
                    let sent = sent.load(Relaxed);
                    assert!(sent >= PARTS as u64 - 128 * 1024, "{case}: {sent}");
                }
                let range = 1001..PARTS as u64 - 77;
                let found = backend.checksum_range(&file, range, options);
                assert_eq!(
                    found.expect("sum"),
                    sum_of(&data[1001..PARTS - 77]),
                    "{case}"
                );
            }
        }
    }
}

/// After the first part, all sessions are replaced by a file that is none.
fn device_that_fails_in_the_middle() {
    let data = reference::noise(PARTS, 92);
    let file = file_of(&data);
    let null = File::open("/dev/null").expect("open");
    let replace_sessions = || {
        for entry in fs::read_dir("/proc/self/fd").expect("readdir") {
            let path = entry.expect("readdir").path();
            if fs::read_link(&path).is_ok_and(|file| file == Path::new(DEVICE_PATH)) {
                let name = path.file_name().and_then(|name| name.to_str());
                let number = name.and_then(|name| name.parse().ok()).expect("a number");
                // SAFETY: Both numbers are those of open files, and the library closes only one of
                // them.
                assert_eq!(unsafe { libc::dup2(null.as_raw_fd(), number) }, number);
            }
        }
    };
    for threads in [1, 2] {
        let bytes = Way::ALL.map(|_| AtomicU64::new(0));
        let fail = |way, length| {
            bytes[way as usize].fetch_add(length, Relaxed);
            if way == Way::Sent {
                replace_sessions();
            }
        };
        let options = options(threads, Some(&fail));
        let found = file::checksum_range(&file, 0..u64::MAX, options).expect("sum");
        assert_eq!(found, sum_of(&data), "{threads} threads");
        let bytes = bytes.map(AtomicU64::into_inner);
        assert!(bytes[Way::Sent as usize] > 0, "{bytes:?}");
        assert!(bytes[Way::Cache as usize] > 0, "{bytes:?}");
        assert_eq!(bytes.iter().sum::<u64>(), PARTS as u64);
    }
    // Nobody but the device may sum for its own backend.
    let error = open(BackendKind::Device)
        .checksum_file(&file, options(2, Some(&|_, _| replace_sessions())));
    assert!(matches!(error, Err(Error::Kernel { .. })), "{error:?}");
}

/// A file that is as long as a call ends its message with that call.
fn seeded_sockets_keep_their_start() {
    let start = 0x1234_5678;
    let seed = Adler32::from_value(start).expect("a possible value");
    let mut backend = Backend::AfAlg(AfAlg::open_from(seed).expect("AF_ALG"));
    let (file, value) = sparse(CALL_MAX, start);
    assert_eq!(sum_left(&mut backend, &file), sum(value, CALL_MAX));
    let abc = sum_left(&mut backend, file_of(b"abc"));
    assert_eq!(abc, sum(reference::append(start, b"abc"), 3));
}

fn file_that_grows() {
    const LEN: usize = 8_000_000;
    let data = reference::noise(20_000_000, 84);
    for via in BackendKind::ALL {
        let mut backend = open(via);
        process::eventually(&format!("{via}: a file grows while it is sent"), || {
            let file = file_of(&data[..LEN]);
            let mut end = File::options()
                .append(true)
                .open(file.path())
                .expect("open");
            let mut rest = data[LEN..].chunks(10_007);
            let grow = || {
                end.write_all(rest.next().unwrap_or_default())
                    .expect("write");
            };
            let found = alongside(grow, || sum_left(&mut backend, &file));
            assert_eq!(found, sum_of(&data[..found.length as usize]), "{via}");
            found.length > LEN as u64
        });
    }
}

fn file_that_shrinks() {
    const LEN: u64 = 20_000_000;
    for via in BackendKind::ALL {
        let mut backend = open(via);
        process::eventually(&format!("{via}: a file shrinks while it is sent"), || {
            let file = file_of(&[0; LEN as usize]);
            let mut len = LEN;
            let shrink = || {
                len = len * 31 / 32;
                file.as_file().set_len(len).expect("ftruncate");
            };
            let found = alongside(shrink, || sum_left(&mut backend, &file));
            let value = reference::append_repeated(1, 0, found.length);
            assert_eq!(found, sum(value, found.length), "{via}");
            (1..LEN).contains(&found.length)
        });
    }
}

fn signals_lose_nothing() {
    let data = reference::noise(30_000_000, 85);
    let file = file_of(&data);
    let us = pthread::pthread_self();
    let interrupt = || {
        process::interrupt(us);
        thread::sleep(Duration::from_micros(300));
    };
    for via in BackendKind::ALL {
        let mut backend = open(via);
        let before = process::interruptions();
        alongside(interrupt, || {
            process::eventually("signals come", || process::interruptions() > before);
            file.as_file().rewind().expect("lseek");
            assert_eq!(sum_left(&mut backend, &file), sum_of(&data), "{via}");
            let pipe = unistd::pipe().expect("pipe");
            check_stream(&mut backend, pipe, &data[..3_000_000]);
        });
    }
}

/// Refuses system calls to the calling thread, for good.
fn refuse(calls: &[c_long]) {
    let refused = |&call| Refused {
        call,
        argument: None,
        errno: Errno::EPERM,
    };
    seccomp::refuse(&calls.iter().map(refused).collect::<Vec<_>>());
}

fn no_seccomp() -> Completion {
    Completion::ignored_with("this kernel has no seccomp filters")
}

/// Without `read`, the backend still receives all of a file and of a pipe. Only the last read,
/// which finds the end, fails.
fn kernel_sends_files_and_pipes() -> Completion {
    if !seccomp::is_supported() {
        return no_seccomp();
    }
    let data = reference::noise(1_000_003, 86);
    for via in TAKE_PAGES {
        let mut file = file_of(&data);
        let (reader, writer) = unistd::pipe().expect("pipe");
        File::from(writer)
            .write_all(&data[..50_000])
            .expect("write");
        let mut backend = open(via);
        let (sent, values) = (&mut backend, &mut Vec::new());
        in_thread(|| {
            refuse(&[libc::SYS_read]);
            for source in [file.as_fd(), reader.as_fd()] {
                let error = sent
                    .checksum_file(source, Options::default())
                    .expect_err("no read");
                let Error::Read(error) = error else {
                    panic!("{via}: {error}");
                };
                assert_eq!(error.raw_os_error(), Some(Errno::EPERM as i32), "{via}");
                values.push(match sent {
                    Backend::Device(session) => session.sum().expect("GET").checksum,
                    Backend::AfAlg(hash) => hash.digest().expect("a digest"),
                    _ => unreachable!("it takes no pages"),
                });
            }
        });
        assert_eq!(file.stream_position().expect("lseek"), data.len() as u64);
        let expected = [&data[..], &data[..50_000]].map(|data| sum_of(data).checksum);
        assert_eq!(values[..], expected, "{via}");
    }
    Completion::Completed
}

fn refused_calls_are_made_up_for() -> Completion {
    if !seccomp::is_supported() {
        return no_seccomp();
    }
    let data = reference::noise(1_000_003, 87);
    let file = file_of(&data);
    for via in TAKE_PAGES {
        in_thread(|| {
            let mut backend = open(via);
            refuse(&[libc::SYS_sendfile, libc::SYS_splice]);
            file.as_file().rewind().expect("lseek");
            assert_eq!(sum_left(&mut backend, &file), sum_of(&data), "{via}");
            check_stream(&mut backend, unistd::pipe().expect("pipe"), &data);
        });
    }
    Completion::Completed
}

fn unreadable_files() {
    let directory = File::open("/dev/shm").expect("open");
    let file = file_of(&[0; SENT_FROM]);
    let written = File::options().write(true).open(file.path()).expect("open");
    for via in BackendKind::ALL {
        let mut backend = open(via);
        for (file, message) in [
            (&directory, "Is a directory"),
            (&written, "Bad file descriptor"),
        ] {
            let error = backend
                .checksum_file(file, Options::default())
                .expect_err("unreadable");
            assert!(matches!(error, Error::Read(_)), "{via}: {error}");
            assert_eq!(error.to_string(), message, "{via}");
        }
        let abc = sum_left(&mut backend, file_of(b"abc"));
        assert_eq!(abc, sum_of(b"abc"), "{via}");
    }
}

/// The command leaves its standard input at the end.
fn command_reads_what_is_left() {
    let data = reference::noise(300_000, 88);
    let file = file_of(&data);
    let path = file.path().display();
    let expected = format!("{:08x}  -\n0\n", reference::adler(&data[5..]));
    for via in BackendKind::ALL {
        let line = format!(
            "{{ dd bs=5 count=1 of=/dev/null status=none; adler32 sum --via {via}; wc -c; }}"
        );
        assert_eq!(sh(&format!("{line} < {path}")), expected, "{via}");
        assert_eq!(sh(&format!("cat {path} | {line}")), expected, "{via}");
    }
}
