// SPDX-License-Identifier: GPL-2.0 OR MIT

//! AF_ALG sockets.

use std::io::Write;

use nix::errno::Errno;
use nix::sys::sendfile;

use crate::points::each_point;
use adler32_tests::alg::Hash;
use adler32_tests::memory;
use adler32_tests::module;
use adler32_tests::reference;
use adler32_tests::trials;

trials!(after module::ensure_loaded:
    bind,
    set_key,
    accept,
    accept_on_operation,
    send_300_bytes,
    send_1_mib,
    receive,
    sendfile_1_mib,
);

/// The kernel's error for a socket if there is no memory.
const NO_SOCKET: &[Errno] = &[Errno::ENFILE];

/// Checks that a new socket works.
fn check_new_socket() {
    let operation = Hash::adler32().accept();
    operation.feed(b"abc");
    assert_eq!(operation.fork().value(), 0x024d_0127);
}

fn bind() {
    each_point(
        NO_SOCKET,
        || {},
        |()| Ok(Hash::bind(module::NAME)?),
        |(), result| {
            drop(result);
            check_new_socket();
        },
    );
}

fn set_key() {
    let key = 0x024d_0127_u32.to_be_bytes();
    each_point(
        &[],
        Hash::adler32,
        |hash| Ok(hash.set_key(&key)?),
        |hash, result| {
            let start = if result.is_ok() { 0x024d_0127 } else { 1 };
            assert_eq!(hash.accept().value(), start);
            hash.set_key(&key).expect("the next try");
            assert_eq!(hash.accept().value(), 0x024d_0127);
        },
    );
}

fn accept() {
    each_point(
        NO_SOCKET,
        Hash::adler32,
        |hash| Ok(hash.try_accept()?),
        |hash, result| {
            for operation in result.into_iter().chain([hash.accept()]) {
                operation.feed(b"abc");
                assert_eq!(operation.value(), 0x024d_0127);
            }
        },
    );
}

fn accept_on_operation() {
    each_point(
        NO_SOCKET,
        || {
            let operation = Hash::adler32().accept();
            operation.feed(b"abc");
            operation
        },
        |operation| Ok(operation.try_fork()?),
        |operation, result| {
            for copy in result.into_iter().chain([operation.fork(), operation]) {
                copy.feed(b"de");
                assert_eq!(copy.value(), 0x05c8_01f0);
            }
        },
    );
}

/// If a part of a message cannot be sent, the kernel drops the message, even if it returns a short
/// count. The next send begins another message.
fn send(len: usize) {
    let data = reference::noise(len, 110);
    each_point(
        &[],
        || Hash::adler32().accept(),
        |operation| Ok(operation.send_more(&data)?),
        |operation, result| {
            if !result.is_ok_and(|sent| sent == len) {
                operation.feed(&data);
            }
            assert_eq!(operation.value(), reference::adler(&data));
        },
    );
}

fn send_300_bytes() {
    send(300);
}

fn send_1_mib() {
    send(1 << 20);
}

fn receive() {
    each_point(
        &[],
        || {
            let operation = Hash::adler32().accept();
            operation.feed(b"abc");
            (operation, [0; 4])
        },
        |(operation, digest)| {
            memory::read_into(&*operation, digest.as_mut_ptr() as usize, digest.len())
        },
        |(operation, digest), result| {
            if result.is_ok() {
                assert_eq!(u32::from_be_bytes(digest), 0x024d_0127);
            }
            operation.feed(b"abc");
            assert_eq!(operation.value(), 0x024d_0127);
        },
    );
}

/// The last page ends the message.
fn sendfile_1_mib() {
    let data = reference::noise(1 << 20, 111);
    let mut source = tempfile::tempfile().expect("a temporary file");
    source.write_all(&data).expect("write");
    each_point(
        &[],
        || Hash::adler32().accept(),
        |operation| {
            Ok(sendfile::sendfile(
                &*operation,
                &source,
                Some(&mut 0),
                data.len(),
            )?)
        },
        |operation, result| {
            if !result.is_ok_and(|sent| sent == data.len()) {
                operation.send(&data).expect("send");
            }
            assert_eq!(operation.value(), reference::adler(&data));
        },
    );
}
