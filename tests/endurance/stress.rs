// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Uses all interfaces at the same time.

use std::fs::File;
use std::io::Write;
use std::panic;
use std::path::Path;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::sendfile;

use adler32_tests::alg::Hash;
use adler32_tests::device;
use adler32_tests::device::Device;
use adler32_tests::module;
use adler32_tests::process;
use adler32_tests::reference;
use adler32_tests::ErrnoOf;

/// The largest number of bytes in a round.
const MOST: usize = 300_000;

type Work = fn(u64, &[u8]);

/// What the threads do, each as a different user.
const WORK: [(&str, i64, Work); 6] = [
    ("slots", 310_000, slots),
    ("ioctls", 310_001, ioctls),
    ("shared files", 310_002, shared_files),
    ("hashes", 310_003, hashes),
    ("files sent", 310_004, files_sent),
    ("loading", 0, loading),
];

/// Uses the module in all ways at the same time, for `time`.
pub fn run(time: Duration) {
    module::ensure_loaded();
    let in_use = device::private();
    // The first call runs modinfo. Later, that child would inherit open files of the threads, and
    // these files would be closed late.
    loading(0, &[]);
    let start = Instant::now();
    let rounds: Vec<u64> = thread::scope(|scope| {
        let threads: Vec<_> = WORK
            .iter()
            .map(|(_, user, work)| {
                scope.spawn(move || {
                    let data = reference::noise(MOST, *user as u64);
                    process::set_thread_uids(-1, *user, -1);
                    let mut round = 0;
                    while start.elapsed() < time {
                        work(round, &data[..1 + round as usize * 7919 % (MOST - 1)]);
                        round += 1;
                    }
                    round
                })
            })
            .collect();
        let rounds = threads.into_iter().map(|thread| thread.join());
        rounds
            .map(|rounds| rounds.unwrap_or_else(|payload| panic::resume_unwind(payload)))
            .collect()
    });
    drop(in_use);
    let rounds: Vec<_> = WORK
        .iter()
        .zip(&rounds)
        .map(|((name, _, _), rounds)| format!("{name} {rounds}"))
        .collect();
    let lockdep = match Path::new("/proc/lockdep").exists() {
        true => "with lockdep",
        false => "without lockdep, which this kernel lacks",
    };
    let seconds = start.elapsed().as_secs();
    println!(
        "{seconds} s of stress {lockdep}; rounds: {}",
        rounds.join(", ")
    );
    module::unload();
}

fn slots(_: u64, data: &[u8]) {
    let (first, second) = data.split_at(data.len() / 3);
    device::publish(first);
    assert_eq!(device::slot(), device::state_of(first));
    device::append().write_whole(second);
    assert_eq!(device::slot(), device::state_of(data));
    let text = device::read_rest(&device::view());
    assert_eq!(text, reference::text(reference::adler(data)));
}

fn ioctls(round: u64, data: &[u8]) {
    let (first, second) = data.split_at(data.len() / 2);
    let file = device::private();
    file.update(first).expect("UPDATE");
    let refused = file.update_from(1, 1);
    assert_eq!(refused.errno(), Errno::EFAULT);
    match round % 2 {
        0 => file.combine(device::state_of(second)).expect("COMBINE"),
        _ => file.write_whole(second),
    }
    assert_eq!(file.state(), device::state_of(data));
    let value = file.digest(1, data).expect("DIGEST");
    assert_eq!(value, reference::adler(data));
    file.reset().expect("RESET");
    file.set(device::state(value, 1)).expect("SET");
    assert_eq!(file.text(), reference::text(value));
}

fn shared_files(_: u64, data: &[u8]) {
    const THREADS: u64 = 3;
    const BYTE: u8 = 0x5a;
    let equal = vec![BYTE; data.len()];
    let file = device::private();
    let sum = |length| device::state(reference::append_repeated(1, BYTE, length), length);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                file.write_whole(&equal);
                let state = file.state();
                assert_eq!(state, sum(state.length), "in between");
                file.update(&equal).expect("UPDATE");
            });
        }
    });
    let length = THREADS * 2 * data.len() as u64;
    assert_eq!(file.state(), sum(length), "in the end");
}

fn hashes(_: u64, data: &[u8]) {
    let (first, second) = data.split_at(data.len() / 2);
    let first_message = Hash::adler32().accept();
    first_message.feed(first);
    let clone = first_message.fork();
    for message in [first_message, clone] {
        message.feed(second);
        assert_eq!(message.value(), reference::adler(data));
    }
}

fn files_sent(_: u64, data: &[u8]) {
    let mut source = tempfile::tempfile().expect("a temporary file");
    source.write_all(data).expect("write");
    let send = |target: &dyn Fn(&mut i64) -> nix::Result<usize>| {
        let mut offset = 0;
        assert_eq!(target(&mut offset), Ok(data.len()), "sendfile");
    };
    let file: File = device::replace();
    send(&|offset| sendfile::sendfile(&file, &source, Some(offset), data.len()));
    drop(file);
    assert_eq!(device::slot(), device::state_of(data));
    let message = Hash::adler32().accept();
    send(&|offset| sendfile::sendfile(&message, &source, Some(offset), data.len()));
    assert_eq!(message.value(), reference::adler(data));
}

/// A module that is in use cannot be loaded again or unloaded.
fn loading(_: u64, _: &[u8]) {
    assert_eq!(module::load(module::NAME, ""), Err(Errno::EEXIST));
    assert_eq!(module::try_unload(), Err(Errno::EWOULDBLOCK));
    thread::sleep(Duration::from_millis(5));
}
