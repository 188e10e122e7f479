// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Each user has one slot. The effective user at open counts, and no later user of the file.

use std::fs;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::thread;

use nix::sched;
use nix::sched::CloneFlags;

use crate::leaks;
use adler32_tests::device;
use adler32_tests::device::Device;
use adler32_tests::device::EMPTY;
use adler32_tests::module;
use adler32_tests::process;
use adler32_tests::process::as_user;
use adler32_tests::process::fork;
use adler32_tests::process::fresh_user;
use adler32_tests::process::set_thread_uids;
use adler32_tests::sh;
use adler32_tests::trials;
use adler32_tests::try_sh_as;
use adler32_tests::usage::meminfo;

trials!(after module::ensure_loaded:
    two_users_have_their_own,
    two_users_at_once,
    root_sees_no_other_slot,
    real_processes_of_two_users,
    effective_user_counts,
    opener_counts_not_the_closer,
    opener_counts_not_the_reader,
    user_namespace_root_is_not_root,
    unmapped_users_of_namespaces_stay_apart,
    containers_without_user_namespaces_share_slots,
    slots_are_forgotten_at_unload,
    slot_table_is_bounded,
);

fn two_users_have_their_own() {
    let (alice, bob) = (fresh_user(), fresh_user());
    as_user(alice, || device::publish(b"alice"));
    assert_eq!(as_user(bob, device::slot), EMPTY);
    as_user(bob, || device::publish(b"bob"));
    assert_eq!(as_user(alice, device::slot), device::state_of(b"alice"));
    assert_eq!(as_user(bob, device::slot), device::state_of(b"bob"));
    as_user(alice, || device::append().write_whole(b" again"));
    assert_eq!(
        as_user(alice, device::slot),
        device::state_of(b"alice again")
    );
    assert_eq!(as_user(bob, device::slot), device::state_of(b"bob"));
}

fn two_users_at_once() {
    let users = [fresh_user(), fresh_user()];
    thread::scope(|scope| {
        for user in users {
            scope.spawn(move || {
                set_thread_uids(-1, user.into(), -1);
                let mut so_far = Vec::new();
                for round in 0..300 {
                    let data = format!("{user} writes {round}");
                    if round % 10 == 0 {
                        device::publish(data.as_bytes());
                        so_far.clear();
                    } else {
                        device::append().write_whole(data.as_bytes());
                    }
                    so_far.extend_from_slice(data.as_bytes());
                    assert_eq!(device::slot(), device::state_of(&so_far));
                }
            });
        }
    });
}

fn root_sees_no_other_slot() {
    device::publish(b"root");
    let user = fresh_user();
    as_user(user, || device::publish(b"user"));
    assert_eq!(device::slot(), device::state_of(b"root"));
    device::publish(b"");
    assert_eq!(as_user(user, device::slot), device::state_of(b"user"));
}

fn real_processes_of_two_users() {
    let shell = |user, line| try_sh_as(user, line).1;
    let (alice, bob) = (fresh_user(), fresh_user());
    shell(alice, "printf abc > /dev/adler32");
    assert_eq!(shell(bob, "cat /dev/adler32"), "00000001\n");
    shell(bob, "printf Wikipedia > /dev/adler32");
    assert_eq!(shell(alice, "cat /dev/adler32"), "024d0127\n");
    assert_eq!(
        shell(alice, "printf de >> /dev/adler32; cat /dev/adler32"),
        "05c801f0\n"
    );
    assert_eq!(shell(bob, "cat /dev/adler32"), "11e60398\n");
}

fn effective_user_counts() {
    let (real, effective, saved) = (fresh_user(), fresh_user(), fresh_user());
    process::in_thread(|| {
        set_thread_uids(real.into(), effective.into(), saved.into());
        device::publish(b"effective");
    });
    assert_eq!(
        as_user(effective, device::slot),
        device::state_of(b"effective")
    );
    assert_eq!(as_user(real, device::slot), EMPTY);
    assert_eq!(as_user(saved, device::slot), EMPTY);
}

fn opener_counts_not_the_closer() {
    let (opener, closer) = (fresh_user(), fresh_user());
    process::in_thread(|| {
        set_thread_uids(-1, opener.into(), -1);
        let file = device::replace();
        set_thread_uids(-1, 0, -1);
        set_thread_uids(-1, closer.into(), -1);
        file.write_whole(b"abc");
        drop(file);
    });
    assert_eq!(as_user(opener, device::slot), device::state_of(b"abc"));
    assert_eq!(as_user(closer, device::slot), EMPTY);
}

fn opener_counts_not_the_reader() {
    let opener = fresh_user();
    as_user(opener, || device::publish(b"abc"));
    // As if the file were passed to a process that has dropped its privileges.
    let file = as_user(opener, device::view);
    let reader = fresh_user();
    as_user(reader, || {
        assert_eq!(device::read_rest(&file), "024d0127\n");
        assert_eq!(device::slot(), EMPTY);
    });
}

/// Runs `work` in a child in a new user namespace, which the user `outer` makes and in which that
/// user is `inner`.
pub fn in_namespace(outer: u32, inner: u32, work: impl FnOnce()) {
    fork(|_| {
        // The user makes the namespace, without the privileges of root.
        set_thread_uids(outer.into(), outer.into(), outer.into());
        // After the change of user, the files of the process in /proc belong to root.
        nix::sys::prctl::set_dumpable(true).expect("prctl");
        sched::unshare(CloneFlags::CLONE_NEWUSER).expect("unshare");
        fs::write("/proc/self/uid_map", format!("{inner} {outer} 1")).expect("uid_map");
        assert_eq!(nix::unistd::geteuid().as_raw(), inner);
        work();
    })
    .join();
}

fn user_namespace_root_is_not_root() {
    device::publish(b"root");
    let user = fresh_user();
    in_namespace(user, 0, || {
        assert_eq!(device::slot(), EMPTY);
        device::publish(b"user");
    });
    assert_eq!(device::slot(), device::state_of(b"root"));
    assert_eq!(as_user(user, device::slot), device::state_of(b"user"));
}

fn unmapped_users_of_namespaces_stay_apart() {
    // Two users with the same ID in their namespaces.
    let (alice, bob) = (fresh_user(), fresh_user());
    in_namespace(alice, 1000, || device::publish(b"alice"));
    in_namespace(bob, 1000, || {
        assert_eq!(device::slot(), EMPTY);
        device::publish(b"bob");
    });
    assert_eq!(as_user(alice, device::slot), device::state_of(b"alice"));
    assert_eq!(as_user(bob, device::slot), device::state_of(b"bob"));
    assert_eq!(as_user(1000, device::slot), EMPTY);
}

/// Runs a command as a user in new namespaces, but in the same user namespace, as in a container.
fn in_container(user: u32, line: &str) -> String {
    sh(&format!(
        "unshare --mount --pid --fork setpriv --reuid {user} --clear-groups sh -c '{line}'"
    ))
}

fn containers_without_user_namespaces_share_slots() {
    let user = fresh_user();
    in_container(user, "printf abc > /dev/adler32");
    assert_eq!(in_container(user, "cat /dev/adler32"), "024d0127\n");
    assert_eq!(as_user(user, device::slot), device::state_of(b"abc"));
    assert_eq!(in_container(fresh_user(), "cat /dev/adler32"), "00000001\n");
}

fn slots_are_forgotten_at_unload() {
    device::publish(b"abc");
    module::unload();
    module::ensure_loaded();
    assert_eq!(device::slot(), EMPTY);
}

/// Unloads the module when dropped, so that the next test finds no full table of slots.
struct Full;

impl Drop for Full {
    fn drop(&mut self) {
        let _ = module::try_unload();
    }
}

/// The table of slots is full several times over, and nobody is refused.
fn slot_table_is_bounded() {
    const MAX: u32 = 65_536;
    const FIRST: u32 = 10_000_000;
    // Start with an empty table.
    module::unload();
    module::ensure_loaded();
    let _full = Full;
    let before = meminfo("SUnreclaim");
    let victim = fresh_user();
    as_user(victim, || device::publish(b"victim"));
    let open = as_user(victim, device::append);

    // The users of a user namespace replace only each other's slots.
    let mut child = fork(|link| {
        sched::unshare(CloneFlags::CLONE_NEWUSER).expect("unshare");
        link.notify();
        link.wait();
        // As root of the namespace, who may become any of its users, and root again.
        set_thread_uids(0, 0, 0);
        publish_as_each(0..MAX);
    });
    child.link().wait();
    let map = format!("/proc/{}/uid_map", child.pid());
    fs::write(map, format!("0 {FIRST} {MAX}")).expect("uid_map");
    child.link().notify();
    child.join();
    let has_slot = |user| as_user(user, || device::slot() != EMPTY);
    assert!(has_slot(victim));
    assert!(!has_slot(FIRST + MAX / 2 - 1));
    assert!(has_slot(FIRST + MAX / 2));

    // The other users replace the oldest. A program can be many of them by files with the
    // set-user-ID bit that it has made in a user namespace.
    let others = FIRST + MAX;
    process::in_thread(|| publish_as_each(others..others + MAX));
    assert!(!has_slot(victim));
    assert!(has_slot(others + MAX - 1));
    assert!(
        has_slot(FIRST + MAX - 1),
        "the half of namespaces is theirs"
    );

    // A slot is two objects of 64 bytes, and some of the objects reuse freed memory. The kernel may
    // take as much again for accounting, and debug kernels several times as much.
    let most = match leaks::kmemleak() {
        None => 16_384,
        Some(_) => 98_304,
    };
    let used = meminfo("SUnreclaim") - before;
    assert!((6144..most).contains(&used), "{used} KiB for all slots");

    // An open file keeps its session, and stores it.
    open.write_whole(b"s");
    assert_eq!(
        device::fdinfo_state("self", open.as_raw_fd()),
        device::state_of(b"victims")
    );
    drop(open);
    assert_eq!(as_user(victim, device::slot), device::state_of(b"victims"));
    for user in [0, victim, FIRST, others + MAX] {
        as_user(user, || {
            device::publish(b"abc");
            assert_eq!(device::slot(), device::state_of(b"abc"));
        });
    }
}

/// Writes a byte to the device as one user after another. Nobody may be refused.
fn publish_as_each(users: Range<u32>) {
    for user in users {
        set_thread_uids(-1, user.into(), -1);
        let opened = device::open(libc::O_WRONLY);
        set_thread_uids(-1, 0, -1);
        opened
            .unwrap_or_else(|error| panic!("user {user}: {error}"))
            .write_whole(b"x");
    }
}
