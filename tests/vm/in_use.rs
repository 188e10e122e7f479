// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The module cannot be unloaded while it has users, and can be unloaded after the last of them.

use nix::errno::Errno;

use adler32_tests::alg::Hash;
use adler32_tests::device;
use adler32_tests::device::Device;
use adler32_tests::held::Held;
use adler32_tests::memory;
use adler32_tests::module;
use adler32_tests::process;
use adler32_tests::sh;
use adler32_tests::trials;
use adler32_tests::try_sh;
use adler32_tests::ErrnoOf;

trials!(after module::ensure_loaded:
    idle_module_has_no_users,
    open_device_holds_in_every_mode,
    every_open_counts,
    rmmod_says_in_use,
    refused_open_holds_nothing,
    duplicate_and_inherited_descriptors_hold,
    write_in_flight_holds,
    fdinfo_and_directory_listing_hold_nothing,
    bound_socket_holds,
    accepted_socket_holds,
    cloned_operation_holds,
    socket_with_data_in_it_releases,
    failed_key_holds_nothing,
    failed_hmac_holds_nothing,
    killed_device_user_releases,
    killed_socket_user_releases,
);

/// Checks that the module cannot be unloaded before `user` is dropped.
#[track_caller]
fn assert_holds<T>(what: &str, user: T) {
    let users = module::refcount();
    assert!(users > Some(0), "{what}: the module is not in use");
    assert_eq!(module::try_unload().errno(), Errno::EWOULDBLOCK, "{what}");
    assert_eq!(
        module::refcount(),
        users,
        "{what}: the attempt changed the count"
    );
    drop(user);
    module::unload();
    module::assert_absent();
    module::ensure_loaded();
}

fn idle_module_has_no_users() {
    assert_eq!(module::refcount(), Some(0));
    module::unload();
    module::assert_absent();
}

fn open_device_holds_in_every_mode() {
    for flags in [
        libc::O_RDONLY,
        libc::O_WRONLY,
        libc::O_WRONLY | libc::O_APPEND,
        libc::O_RDWR,
        libc::O_ACCMODE,
    ] {
        let file = device::open(flags).expect("open");
        assert_holds(&format!("flags {flags:#x}"), file);
    }
}

fn every_open_counts() {
    let mut files = Vec::new();
    for count in 1..=10 {
        files.push(device::private());
        assert_eq!(module::refcount(), Some(count));
    }
    while files.pop().is_some() {
        assert_eq!(module::refcount(), Some(files.len()));
    }
}

fn rmmod_says_in_use() {
    let file = device::private();
    let (success, output) = try_sh("rmmod adler32");
    assert!(!success && output.contains("in use"), "{output}");
    let listed = sh("lsmod");
    let line = listed.lines().find(|line| line.starts_with("adler32 "));
    assert_eq!(
        line.and_then(|line| line.split_whitespace().nth(2)),
        Some("1"),
        "{listed}"
    );
    drop(file);
    sh("rmmod adler32");
    module::assert_absent();
}

fn refused_open_holds_nothing() {
    // With O_DIRECTORY, the open fails after the lookup of the device.
    assert_eq!(device::open(libc::O_DIRECTORY).errno(), Errno::ENOTDIR);
    assert_eq!(module::refcount(), Some(0));
}

fn duplicate_and_inherited_descriptors_hold() {
    let file = device::private();
    let duplicate = file.try_clone().expect("dup");
    drop(file);
    assert_holds("a duplicate", duplicate);

    let file = device::private();
    let mut child = process::fork(|link| link.wait());
    drop(file);
    assert_eq!(module::try_unload().errno(), Errno::EWOULDBLOCK);
    child.link().notify();
    child.join();
    module::unload();
}

fn write_in_flight_holds() {
    let held = Held::new(&vec![1; 3 * memory::page_size()], 1);
    let file = device::private();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| memory::write_from(&file, held.address(), held.size()));
        let stopped = held.wait();
        assert_eq!(module::try_unload().errno(), Errno::EWOULDBLOCK);
        drop(stopped);
        assert_eq!(
            writer.join().expect("no panic").expect("write"),
            held.size()
        );
    });
    assert_holds("the file written to", file);
}

fn fdinfo_and_directory_listing_hold_nothing() {
    let file = device::private();
    assert_eq!(file.fdinfo()["length"], "0");
    drop(file);
    sh("ls -l /dev/adler32; cat /proc/crypto /proc/misc > /dev/null");
    assert_eq!(module::refcount(), Some(0));
}

fn bound_socket_holds() {
    assert_holds("a bound socket", Hash::adler32());
    assert_holds("a bound socket", Hash::bind(module::DRIVER).expect("bind"));
}

fn accepted_socket_holds() {
    let hash = Hash::adler32();
    let operation = hash.accept();
    drop(hash);
    assert_holds("an accepted socket", operation);
}

fn cloned_operation_holds() {
    let operation = Hash::adler32().accept();
    operation.feed(b"abc");
    let clone = operation.fork();
    drop(operation);
    assert_holds("a cloned operation", clone);
}

fn socket_with_data_in_it_releases() {
    let operation = Hash::adler32().accept();
    operation.feed(&[7; 100_000]);
    assert_holds("an unfinished message", operation);
    let operation = Hash::adler32().accept();
    operation.send(b"never received").expect("send");
    assert_holds("a digest never fetched", operation);
}

fn failed_key_holds_nothing() {
    let hash = Hash::adler32();
    assert_eq!(hash.set_key(b"abc").errno(), Errno::EINVAL);
    assert_holds("a socket that refused a key", hash);
}

fn failed_hmac_holds_nothing() {
    let refused = Hash::bind("hmac(adler32)").errno();
    assert!(
        [Errno::EINVAL, Errno::ENOENT].contains(&refused),
        "{refused:?}"
    );
    let left = module::proc_crypto();
    assert!(
        !left
            .iter()
            .any(|entry| entry["name"].contains("hmac(adler32")),
        "{left:#?}"
    );
    module::unload();
    module::assert_absent();
}

fn killed_device_user_releases() {
    let mut child = process::fork(|link| {
        let files = [
            device::private(),
            device::replace(),
            device::append(),
            device::view(),
        ];
        files[0].write_whole(b"abc");
        link.notify();
        link.wait();
    });
    child.link().wait();
    assert_eq!(module::refcount(), Some(4));
    assert_eq!(module::try_unload().errno(), Errno::EWOULDBLOCK);
    child.kill();
    module::unload();
    module::assert_absent();
}

fn killed_socket_user_releases() {
    let mut child = process::fork(|link| {
        let hash = Hash::adler32();
        let operation = hash.accept();
        operation.feed(b"abc");
        let _clone = operation.fork();
        link.notify();
        link.wait();
    });
    child.link().wait();
    assert_eq!(module::try_unload().errno(), Errno::EWOULDBLOCK);
    child.kill();
    module::unload();
    module::assert_absent();
}
