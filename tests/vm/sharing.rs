// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Open files that processes and threads share, and many open files at once.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::panic;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl;
use nix::fcntl::SpliceFFlags;
use nix::sys::pthread;
use nix::sys::resource;
use nix::sys::resource::UsageWho;
use nix::unistd;

use adler32_tests::device;
use adler32_tests::device::Device;
use adler32_tests::device::EMPTY;
use adler32_tests::held::Held;
use adler32_tests::memory;
use adler32_tests::memory::page_size;
use adler32_tests::module;
use adler32_tests::process;
use adler32_tests::process::as_fresh_user;
use adler32_tests::process::as_user;
use adler32_tests::process::fork;
use adler32_tests::process::fresh_user;
use adler32_tests::reference;
use adler32_tests::ring;
use adler32_tests::ring::Ring;
use adler32_tests::trials;
use adler32_tests::ErrnoOf;

trials!(after module::ensure_loaded:
    fork_shares_the_session,
    dup_shares_session_and_position,
    last_close_of_all_publishes,
    killed_writer_publishes_what_it_wrote,
    exec_closes_and_publishes,
    passed_descriptor_shares_the_session,
    threads_on_one_file_are_serialized,
    threads_mix_all_operations,
    readers_see_whole_writes,
    parallel_sessions_64,
    interleaved_sessions_64,
    many_open_files,
    held_write_delays_no_other_file,
    held_write_delays_its_own_file,
    fdinfo_never_waits,
    waiting_for_a_write_can_be_interrupted,
    waiting_for_a_write_can_be_killed,
    nonblocking_files_never_stop_io_uring,
    waiters_wake_one_by_one,
    killed_splice_frees_its_pipe,
    held_update_is_all_or_nothing,
    held_update_and_digest_delay_no_other_file,
    held_digest_delays_nobody,
    held_update_serializes_too,
    closing_while_another_thread_writes,
);

fn fork_shares_the_session() {
    let file = device::private();
    file.write_whole(b"Wiki");
    fork(|_| {
        assert_eq!(file.state(), device::state_of(b"Wiki"));
        file.write_whole(b"ped");
    })
    .join();
    file.write_whole(b"ia");
    assert_eq!(file.text(), "11e60398\n");
}

fn dup_shares_session_and_position() {
    let mut file = device::private();
    let mut duplicate = file.try_clone().expect("dup");
    file.write_whole(b"Wiki");
    duplicate.write_whole(b"pedia");
    file.read_exact(&mut [0; 5]).expect("read");
    let mut rest = String::new();
    duplicate.read_to_string(&mut rest).expect("read");
    assert_eq!(rest, "398\n");
    drop(file);
    assert_eq!(duplicate.text(), "11e60398\n");
}

fn last_close_of_all_publishes() {
    as_fresh_user(|| {
        let file = device::replace();
        let duplicate = file.try_clone().expect("dup");
        file.write_whole(b"abc");
        drop(file);
        assert_eq!(device::slot(), EMPTY, "one descriptor is open");
        duplicate.write_whole(b"de");
        drop(duplicate);
        assert_eq!(device::slot(), device::state_of(b"abcde"));
    });
    device::publish(b"");
    let file = device::replace();
    let mut child = fork(|link| {
        link.wait();
        file.write_whole(b"de");
    });
    file.write_whole(b"abc");
    drop(file);
    assert_eq!(device::slot(), EMPTY, "the child has the file open");
    child.link().notify();
    child.join();
    assert_eq!(device::slot(), device::state_of(b"abcde"));
}

fn killed_writer_publishes_what_it_wrote() {
    device::publish(b"");
    let mut child = fork(|link| {
        let file = device::replace();
        file.write_whole(b"abc");
        link.notify();
        link.wait();
    });
    child.link().wait();
    assert_eq!(device::slot(), EMPTY);
    child.kill();
    assert_eq!(device::slot(), device::state_of(b"abc"));
}

fn exec_closes_and_publishes() {
    device::publish(b"");
    let child = fork(|_| {
        let file = device::replace();
        file.write_whole(b"abc");
        let sleep = c"/bin/sleep";
        nix::unistd::execv(sleep, &[sleep, c"60"]).expect("exec");
    });
    process::eventually("exec closed the file", || {
        device::slot() == device::state_of(b"abc")
    });
    child.kill();
}

fn passed_descriptor_shares_the_session() {
    // Opening the file through /proc makes a new session: a view.
    let file = device::private();
    file.write_whole(b"abc");
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let view = File::open(path).expect("open");
    assert_eq!(view.state(), device::slot());

    // SCM_RIGHTS passes the open file itself.
    let (left, right) = std::os::unix::net::UnixStream::pair().expect("a socket pair");
    let child = fork(|_| {
        let file = receive_file(&right);
        file.write_whole(b"de");
    });
    send_file(&left, &file);
    child.join();
    assert_eq!(file.text(), "05c801f0\n");
}

/// Passes an open file to another process.
pub fn send_file(socket: &impl AsRawFd, file: &File) {
    use nix::sys::socket as sys;
    let rights = [file.as_raw_fd()];
    let control = [sys::ControlMessage::ScmRights(&rights)];
    let data = [std::io::IoSlice::new(b".")];
    sys::sendmsg::<()>(
        socket.as_raw_fd(),
        &data,
        &control,
        sys::MsgFlags::empty(),
        None,
    )
    .expect("sendmsg");
}

/// Receives an open file from another process.
pub fn receive_file(socket: &impl AsRawFd) -> File {
    use nix::sys::socket as sys;
    use std::os::fd::FromRawFd;
    let mut byte = [0];
    let mut data = [std::io::IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!([i32; 1]);
    let message = sys::recvmsg::<()>(
        socket.as_raw_fd(),
        &mut data,
        Some(&mut space),
        sys::MsgFlags::empty(),
    )
    .expect("recvmsg");
    let mut control = message.cmsgs().expect("a control message");
    match control.next() {
        // SAFETY: recvmsg() has just opened the descriptor, and nothing else owns it.
        Some(sys::ControlMessageOwned::ScmRights(fds)) => unsafe { File::from_raw_fd(fds[0]) },
        other => panic!("{other:?}"),
    }
}

/// More bytes than the module reads at a time.
const BLOCK: usize = 300_001;

fn threads_on_one_file_are_serialized() {
    // Writes of the same block in any order result in the same checksum, unless they mix.
    let block = reference::noise(BLOCK, 4);
    let file = device::private();
    thread::scope(|scope| {
        for thread in 0..4 {
            let (file, block) = (&file, &block);
            scope.spawn(move || {
                for _ in 0..6 {
                    if thread % 2 == 0 {
                        file.write_whole(block);
                    } else {
                        file.update(block).expect("UPDATE");
                    }
                }
            });
        }
    });
    assert_eq!(file.state(), device::state_of(&block.repeat(24)));
}

fn threads_mix_all_operations() {
    // The results depend on the order. Nothing must fail, and every state must be possible.
    let block = reference::noise(BLOCK, 5);
    let file = device::private();
    thread::scope(|scope| {
        for thread in 0..4 {
            let (file, block) = (&file, &block);
            scope.spawn(move || {
                for round in 0..40 {
                    match (thread + round) % 8 {
                        0 => file.write_whole(&block[..round * 1000]),
                        1 => file.update(&block[..round * 100]).expect("UPDATE"),
                        2 => file.reset().expect("RESET"),
                        3 => file.set(device::state(0x0001_0001, 7)).expect("SET"),
                        4 => file
                            .combine(device::state(0x0001_0001, 7))
                            .expect("COMBINE"),
                        5 => assert_eq!(file.text().len(), 9),
                        6 => assert_eq!(file.digest(1, b"abc").expect("DIGEST"), 0x024d_0127),
                        _ => assert_eq!(file.fdinfo()["mode"], "private"),
                    }
                    let value = file.state().value;
                    assert!(value & 0xffff < 65521 && value >> 16 < 65521, "{value:#x}");
                }
            });
        }
    });
}

fn readers_see_whole_writes() {
    const WRITES: u64 = 12;
    let block = reference::noise(BLOCK, 6);
    let mut expected = vec![EMPTY];
    for count in 1..=WRITES {
        let value = reference::append(expected[expected.len() - 1].value, &block);
        expected.push(device::state(value, count * BLOCK as u64));
    }
    let file = device::private();
    let check = || {
        let state = file.state();
        assert!(
            expected.contains(&state),
            "{state:?} is not the state after a whole write"
        );
    };
    process::alongside(check, || {
        for _ in 0..WRITES {
            file.write_whole(&block);
        }
    });
}

fn parallel_sessions_64() {
    thread::scope(|scope| {
        for number in 0..64_u64 {
            scope.spawn(move || {
                let data = reference::noise(20_000 + 100 * number as usize, number);
                let file = device::private();
                for piece in data.chunks(3001) {
                    file.write_whole(piece);
                }
                assert_eq!(file.state(), device::state_of(&data), "{number}");
                assert_eq!(file.text(), reference::text(reference::adler(&data)));
            });
        }
    });
}

fn interleaved_sessions_64() {
    let files: Vec<_> = (0..64).map(|_| device::private()).collect();
    let data = reference::noise(64 * 1000, 7);
    for piece in 0..10 {
        for (number, file) in files.iter().enumerate() {
            file.write_whole(&data[number * 1000..][piece * 100..][..100]);
        }
    }
    for (number, file) in files.iter().enumerate() {
        let expected = device::state_of(&data[number * 1000..][..1000]);
        assert_eq!(file.state(), expected);
    }
}

fn many_open_files() {
    const FILES: i64 = 900;
    let before = adler32_tests::usage::meminfo("SUnreclaim");
    let files: Vec<_> = (0..FILES).map(|_| device::private()).collect();
    for file in &files {
        file.write_whole(b"abc");
    }
    let used = adler32_tests::usage::meminfo("SUnreclaim") - before;
    assert!(used < FILES * 4, "{used} KiB for {FILES} idle files");
    for file in &files {
        assert_eq!(file.state(), device::state_of(b"abc"));
    }
}

/// Runs `work` while a write of `data` to `file` waits in the middle. Checks that `work` does not
/// wait for the write, and that the write then completes.
#[track_caller]
fn while_held<T: Send>(file: &File, data: &[u8], work: impl FnOnce() -> T + Send) -> T {
    let held = Held::new(data, data.len() / page_size() / 2);
    thread::scope(|scope| {
        let writer = scope.spawn(|| memory::write_from(file, held.address(), held.size()));
        let stopped = held.wait();
        let worker = scope.spawn(work);
        process::eventually("the work ends while the write waits", || {
            worker.is_finished()
        });
        drop(stopped);
        let written = writer.join().expect("no panic").expect("write");
        assert_eq!(written, data.len());
        worker
            .join()
            .unwrap_or_else(|payload| panic::resume_unwind(payload))
    })
}

fn held_write_delays_no_other_file() {
    let user = fresh_user();
    let data = reference::noise(512 * 1024, 8);
    as_user(user, || device::publish(b"abc"));
    let file = as_user(user, device::replace);
    while_held(&file, &data, || {
        as_user(user, || {
            assert_eq!(device::slot(), device::state_of(b"abc"));
            let other = device::private();
            other.write_whole(&data);
            assert_eq!(other.state(), device::state_of(&data));
            device::publish(b"abcde");
            assert_eq!(device::read_rest(&device::view()), "05c801f0\n");
        });
        as_fresh_user(|| device::publish(b"abc"));
    });
    drop(file);
    assert_eq!(as_user(user, device::slot), device::state_of(&data));
}

fn held_write_delays_its_own_file() {
    let data = reference::noise(512 * 1024, 9);
    let file = device::private();
    let finished = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = while_held(&file, &data, || {
            let reader = scope.spawn(|| {
                let state = file.get();
                finished.store(true, Ordering::Relaxed);
                state
            });
            thread::sleep(Duration::from_millis(50));
            assert!(
                !finished.load(Ordering::Relaxed),
                "GET returned in the middle of a write"
            );
            reader
        });
        let state = reader.join().expect("no panic").expect("GET");
        assert_eq!(state, device::state_of(&data));
    });
}

fn fdinfo_never_waits() {
    let data = reference::noise(512 * 1024, 10);
    let file = device::private();
    while_held(&file, &data, || {
        let state = device::fdinfo_state("self", file.as_raw_fd());
        assert!(state.length <= data.len() as u64 / 2, "{state:?}");
        assert!(
            state.length > 0,
            "none of the 256 KiB before the missing page were consumed"
        );
        assert_eq!(state, device::state_of(&data[..state.length as usize]));
        for _ in 0..100 {
            assert_eq!(device::fdinfo_state("self", file.as_raw_fd()), state);
        }
    });
    let state = device::fdinfo_state("self", file.as_raw_fd());
    assert_eq!(state, device::state_of(&data));
}

fn waiting_for_a_write_can_be_interrupted() {
    let operations: [fn(&File) -> io::Result<()>; 5] = [
        |file| file.get().map(drop),
        |file| file.reset(),
        |file| file.update(b"x"),
        |mut file| file.read(&mut [0; 9]).map(drop),
        |mut file| file.write(b"x").map(drop),
    ];
    let data = reference::noise(8 * page_size(), 11);
    let file = device::private();
    while_held(&file, &data, || {
        for operation in operations {
            let (sender, receiver) = mpsc::channel();
            thread::scope(|scope| {
                let waiter = scope.spawn(|| {
                    sender
                        .send(pthread::pthread_self())
                        .expect("the receiver lives");
                    operation(&file).errno()
                });
                let id = receiver.recv().expect("the thread lives");
                thread::sleep(Duration::from_millis(30));
                assert!(!waiter.is_finished(), "the call did not wait");
                // A signal has no effect before the call, so it is repeated.
                process::eventually("the wait is interrupted", || {
                    process::interrupt(id);
                    waiter.is_finished()
                });
                assert_eq!(waiter.join().expect("no panic"), Errno::EINTR);
            });
        }
    });
    assert_eq!(file.state(), device::state_of(&data));
}

fn waiting_for_a_write_can_be_killed() {
    let file = device::private();
    let data = reference::noise(8 * page_size(), 12);
    let mut child = None;
    while_held(&file, &data, || {
        let waiter = fork(|link| {
            link.notify();
            let _ = file.get();
        });
        let waiter = child.insert(waiter);
        waiter.link().wait();
        thread::sleep(Duration::from_millis(30));
        child.take().expect("just made").kill_promptly();
    });
    assert_eq!(file.state(), device::state_of(&data));
}

/// For a file with `O_NONBLOCK`, io_uring makes calls that must not wait in `io_uring_enter(2)`.
fn nonblocking_files_never_stop_io_uring() {
    let file = device::open(libc::O_RDWR | libc::O_NONBLOCK).expect("open");
    let data = reference::noise(8 * page_size(), 14);
    let held = Held::new(&data, 4);
    let mut text = [0; 9];
    let mut ring = Ring::open();
    let (submitted, wait) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| memory::write_from(&file, held.address(), held.size()));
        let stopped = held.wait();
        let in_time = scope.spawn(move || {
            let in_time = wait.recv_timeout(Duration::from_secs(5)).is_ok();
            drop(stopped);
            in_time
        });
        ring.start([
            ring::write(&file, data.as_ptr() as usize, 1),
            ring::write(&file, data.as_ptr() as usize, data.len()),
            ring::read(&file, &mut text),
        ]);
        let _ = submitted.send(());
        assert!(in_time.join().expect("no panic"), "the submission waited");
        let results: [_; 3] = ring.results();
        let expected = [1, data.len(), text.len()];
        assert_eq!(results.map(|result| result.expect("in the end")), expected);
    });
    assert_eq!(file.state().length, 2 * data.len() as u64 + 1);
}

/// If the end of each write woke all waiting threads, the number of switches would grow with the
/// square of the number of threads.
fn waiters_wake_one_by_one() {
    const THREADS: usize = 200;
    let file = device::private();
    let data = reference::noise(8 * page_size(), 15);
    let more = &reference::noise(1 << 20, 16)[..];
    let waiting = AtomicUsize::new(0);
    let held = Held::new(&data, 4);
    let before = thread::scope(|scope| {
        scope.spawn(|| memory::write_from(&file, held.address(), held.size()));
        let stopped = held.wait();
        for _ in 0..THREADS {
            scope.spawn(|| {
                waiting.fetch_add(1, Ordering::Relaxed);
                file.write_whole(more);
            });
        }
        process::eventually("all threads wait", || {
            waiting.load(Ordering::Relaxed) == THREADS
        });
        thread::sleep(Duration::from_millis(200));
        let before = switches();
        drop(stopped);
        before
    });
    let switches = switches() - before;
    println!("{switches} switches of {THREADS} threads");
    assert!(switches < 10 * THREADS as i64, "{switches} switches");
    let length = (data.len() + THREADS * more.len()) as u64;
    assert_eq!(file.state().length, length);
}

/// Returns how often the threads of this process have waited.
fn switches() -> i64 {
    let usage = resource::getrusage(UsageWho::RUSAGE_SELF).expect("getrusage");
    usage.voluntary_context_switches()
}

/// The kernel locks the pipe while `splice(2)` waits for the device.
fn killed_splice_frees_its_pipe() {
    let file = device::private();
    let data = reference::noise(8 * page_size(), 12);
    let (reader, writer) = unistd::pipe().expect("pipe");
    unistd::write(&writer, b"x").expect("write");
    while_held(&file, &data, || {
        let mut splicer = fork(|link| {
            link.notify();
            let _ = fcntl::splice(&reader, None, &file, None, 1, SpliceFFlags::empty());
        });
        splicer.link().wait();
        thread::sleep(Duration::from_millis(30));
        thread::scope(|scope| {
            let other = scope.spawn(|| unistd::write(&writer, b"y"));
            thread::sleep(Duration::from_millis(30));
            let delayed = !other.is_finished();
            splicer.kill_promptly();
            process::eventually("the pipe is free", || other.is_finished());
            assert!(delayed, "the pipe was free before");
        });
    });
    // The killed splice has taken nothing from the pipe.
    let mut rest = [0; 3];
    assert_eq!(unistd::read(&reader, &mut rest), Ok(2));
    assert_eq!(file.state(), device::state_of(&data));
}

fn held_update_is_all_or_nothing() {
    // The end of the data is unmapped while the call waits for the middle.
    let data = reference::noise(128 * page_size(), 13);
    let held = Held::new(&data, 64);
    let file = device::private();
    file.write_whole(b"abc");
    thread::scope(|scope| {
        let updater = scope.spawn(|| file.update_from(held.address() as u64, held.size() as u64));
        let stopped = held.wait();
        held.map().unmap(data.len() - page_size()..data.len());
        drop(stopped);
        assert_eq!(updater.join().expect("no panic").errno(), Errno::EFAULT);
    });
    assert_eq!(file.state(), device::state_of(b"abc"));
}

fn held_update_and_digest_delay_no_other_file() {
    let data = reference::noise(128 * page_size(), 16);
    let operations: [fn(&File, &Held) -> io::Result<()>; 2] = [
        |file, held| file.update_from(held.address() as u64, held.size() as u64),
        |file, held| {
            let digest = file.digest_from(1, held.address() as u64, held.size() as u64);
            digest.map(drop)
        },
    ];
    for operation in operations {
        let file = device::private();
        let held = Held::new(&data, 64);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| operation(&file, &held));
            let stopped = held.wait();
            let other = scope.spawn(|| {
                let other = device::private();
                other.write_whole(&data);
                other.update(&data).expect("UPDATE");
                other.digest(1, &data).expect("DIGEST")
            });
            process::eventually("the other file is used while the call waits", || {
                other.is_finished()
            });
            drop(stopped);
            assert_eq!(other.join().expect("no panic"), reference::adler(&data));
            waiting.join().expect("no panic").expect("an ioctl");
        });
    }
}

fn held_digest_delays_nobody() {
    // DIGEST does not use the session.
    let data = reference::noise(128 * page_size(), 17);
    let held = Held::new(&data, 64);
    let file = device::private();
    thread::scope(|scope| {
        let digest = scope.spawn(|| file.digest_from(1, held.address() as u64, held.size() as u64));
        let stopped = held.wait();
        let writer = scope.spawn(|| file.write_whole(b"abc"));
        process::eventually("a write ends while DIGEST waits", || writer.is_finished());
        assert_eq!(file.state(), device::state_of(b"abc"));
        drop(stopped);
        let digest = digest.join().expect("no panic").expect("DIGEST");
        assert_eq!(digest, reference::adler(&data));
    });
}

fn held_update_serializes_too() {
    let data = reference::noise(128 * page_size(), 14);
    let held = Held::new(&data, 64);
    let file = device::private();
    thread::scope(|scope| {
        let updater = scope.spawn(|| file.update_from(held.address() as u64, held.size() as u64));
        let stopped = held.wait();
        let writer = scope.spawn(|| file.write_whole(b"after"));
        thread::sleep(Duration::from_millis(30));
        assert!(!writer.is_finished(), "a write overtook UPDATE");
        drop(stopped);
        updater.join().expect("no panic").expect("UPDATE");
        writer.join().expect("no panic");
    });
    let expected = device::state_of(&[&data[..], b"after"].concat());
    assert_eq!(file.state(), expected);
}

fn closing_while_another_thread_writes() {
    device::publish(b"");
    let data = reference::noise(8 * page_size(), 15);
    let file = device::replace();
    let fd = file.as_raw_fd();
    let held = Held::new(&data, 4);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            // SAFETY: The file stays open until the system call refers to it.
            let file = unsafe { BorrowedFd::borrow_raw(fd) };
            memory::write_from(file, held.address(), held.size())
        });
        let stopped = held.wait();
        drop(file);
        assert_eq!(device::slot(), EMPTY, "a write is under way");
        drop(stopped);
        let written = writer.join().expect("no panic").expect("write");
        assert_eq!(written, data.len());
    });
    assert_eq!(device::slot(), device::state_of(&data));
}
