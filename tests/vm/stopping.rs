// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Signals stop a program that uses the device, however much it passes at once: for the shell, for
//! a debugger, and for the freezer, by which containers pause and systems suspend.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use adler32::uapi::MAX_BUFFER;
use libtest_mimic::Completion;
use nix::errno::Errno;
use nix::sys::pthread;
use nix::sys::signal;
use nix::sys::signal::Signal;

use adler32_tests::device;
use adler32_tests::device::Device;
use adler32_tests::memory;
use adler32_tests::memory::Map;
use adler32_tests::module;
use adler32_tests::process;
use adler32_tests::process::fork;
use adler32_tests::process::Child;
use adler32_tests::reference;
use adler32_tests::trials;
use adler32_tests::ErrnoOf;

trials!(after module::ensure_loaded:
    stopped_in_write,
    stopped_in_update,
    stopped_in_digest,
    frozen_in_write,
    frozen_in_update,
    frozen_in_digest,
    signals_cut_only_long_writes,
    ioctls_are_bounded,
);

/// More than any call may take without a look at signals.
const LONG: usize = 16 << 30;
/// How many calls of [`MAX_BUFFER`] bytes a stop may take. A signal ends a write after that many
/// bytes. Otherwise, the write would take as long as 32 such calls: the kernel cuts it at 2 GiB.
const CALLS: u32 = 10;

/// A call of the device that passes up to `len` bytes at `address`.
type Call = fn(&fs::File, address: usize, len: usize);

fn write(file: &fs::File, address: usize, len: usize) {
    let _ = memory::write_from(file, address, len);
}

fn update(file: &fs::File, address: usize, len: usize) {
    match file.update_from(address as u64, len as u64).errno() {
        Errno::EINVAL => file
            .update_from(address as u64, MAX_BUFFER)
            .expect("UPDATE"),
        errno => assert!([Errno::UnknownErrno, Errno::EINTR].contains(&errno)),
    }
}

fn digest(file: &fs::File, address: usize, len: usize) {
    match file.digest_from(1, address as u64, len as u64).errno() {
        Errno::EINVAL => drop(
            file.digest_from(1, address as u64, MAX_BUFFER)
                .expect("DIGEST"),
        ),
        errno => assert!([Errno::UnknownErrno, Errno::EINTR].contains(&errno)),
    }
}

/// Starts a child that makes the longest calls again and again, and returns when it is in one.
fn busy(call: Call, prepare: impl FnOnce()) -> Child {
    let mut child = fork(|link| {
        prepare();
        let data = Map::repeated(0xff, LONG);
        let file = device::private();
        link.notify();
        loop {
            call(&file, data.address(), LONG);
        }
    });
    child.link().wait();
    thread::sleep(Duration::from_millis(100));
    child
}

/// Waits until `stopped`, at most for the time of [`CALLS`] calls or a second.
fn must_stop(stopped: impl Fn() -> bool) {
    let data = Map::repeated(0xff, MAX_BUFFER as usize);
    let start = Instant::now();
    let file = device::private();
    file.update_from(data.address() as u64, MAX_BUFFER)
        .expect("UPDATE");
    let limit = Duration::from_secs(1).max(CALLS * start.elapsed());
    let start = Instant::now();
    while !stopped() {
        let time = start.elapsed();
        assert!(time < limit, "still not stopped after {time:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn stop(call: Call) {
    let child = busy(call, || {});
    signal::kill(child.pid(), Signal::SIGSTOP).expect("kill");
    let stat = format!("/proc/{}/stat", child.pid());
    must_stop(|| fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T ")));
    child.kill_promptly();
}

fn stopped_in_write() {
    stop(write);
}

fn stopped_in_update() {
    stop(update);
}

fn stopped_in_digest() {
    stop(digest);
}

/// A control group, which is removed when it has no processes.
struct ControlGroup(&'static Path);

impl Drop for ControlGroup {
    fn drop(&mut self) {
        process::eventually("the group is removed", || fs::remove_dir(self.0).is_ok());
    }
}

fn freeze(call: Call) -> Completion {
    let group = Path::new("/sys/fs/cgroup/adler32-frozen");
    if fs::create_dir(group).is_err() {
        return Completion::ignored_with("this kernel has no control groups");
    }
    let _removed = ControlGroup(group);
    let child = busy(call, || {
        fs::write(group.join("cgroup.procs"), "0").expect("cgroup.procs");
    });
    fs::write(group.join("cgroup.freeze"), "1").expect("cgroup.freeze");
    let events = group.join("cgroup.events");
    must_stop(|| fs::read_to_string(&events).is_ok_and(|events| events.contains("frozen 1")));
    child.kill_promptly();
    Completion::Completed
}

fn frozen_in_write() -> Completion {
    freeze(write)
}

fn frozen_in_update() -> Completion {
    freeze(update)
}

fn frozen_in_digest() -> Completion {
    freeze(digest)
}

fn signals_cut_only_long_writes() {
    const LEN: usize = 1 << 30;
    let data = Map::repeated(0xff, LEN);
    let file = device::private();
    let writer = pthread::pthread_self();
    let interrupt = || {
        process::interrupt(writer);
        thread::sleep(Duration::from_millis(1));
    };
    let mut written = 0;
    let mut calls = 0;
    process::alongside(interrupt, || {
        while written < LEN {
            let count = memory::write_from(&file, data.address() + written, LEN - written);
            let count = count.expect("write");
            assert!(
                count >= MAX_BUFFER as usize || written + count == LEN,
                "{count}"
            );
            written += count;
            calls += 1;
        }
    });
    assert!(calls > 1, "no signal has cut the write");
    let value = reference::append_repeated(1, 0xff, LEN as u64);
    assert_eq!(file.state(), device::state(value, LEN as u64));
}

fn ioctls_are_bounded() {
    let data = Map::repeated(0xff, MAX_BUFFER as usize + 1);
    let address = data.address() as u64;
    let file = device::private();
    let value = reference::append_repeated(1, 0xff, MAX_BUFFER);
    assert_eq!(
        file.digest_from(1, address, MAX_BUFFER).expect("DIGEST"),
        value
    );
    file.update_from(address, MAX_BUFFER).expect("UPDATE");
    for length in [MAX_BUFFER + 1, 1 << 40, u64::MAX] {
        assert_eq!(file.digest_from(1, address, length).errno(), Errno::EINVAL);
        assert_eq!(file.update_from(address, length).errno(), Errno::EINVAL);
    }
    assert_eq!(file.state(), device::state(value, MAX_BUFFER));
}
