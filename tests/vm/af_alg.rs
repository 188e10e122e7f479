// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The hash through AF_ALG sockets.

use std::fs::File;
use std::io::IoSlice;
use std::io::Write;
use std::thread;

use nix::errno::Errno;
use nix::fcntl;
use nix::fcntl::SpliceFFlags;
use nix::sys::sendfile;
use nix::unistd;

use adler32_tests::alg::Hash;
use adler32_tests::alg::Operation;
use adler32_tests::files::file_of;
use adler32_tests::module;
use adler32_tests::reference;
use adler32_tests::sh;
use adler32_tests::trials;
use adler32_tests::ErrnoOf;

trials!(after module::ensure_loaded:
    known_answers,
    nothing_sent,
    empty_sends,
    one_send_of_any_size,
    pieces_of_any_size,
    sixteen_pages_and_one_byte,
    unaligned_data,
    scattered_data,
    send_without_more_ends_the_message,
    operations_are_reused,
    short_receive_is_marked,
    both_names_are_one_hash,
    clone_in_mid_stream,
    clone_of_an_empty_operation,
    clone_of_a_clone,
    key_is_the_seed,
    key_of_wrong_length,
    key_of_impossible_value,
    keys_do_not_mix,
    clone_keeps_the_seeded_state,
    hmac_fails_cleanly,
    bad_address_is_refused,
    sendfile_feeds_an_operation,
    splice_feeds_an_operation,
    parallel_operations_64,
    kcapi_dgst_agrees,
    python_agrees,
);

/// Sends `data` in one call and returns its checksum.
#[track_caller]
fn value_of(operation: &Operation, data: &[u8]) -> u32 {
    assert_eq!(operation.send(data), Ok(data.len()));
    operation.value()
}

fn known_answers() {
    let operation = Hash::adler32().accept();
    for (data, value) in [
        ("a", 0x0062_0062),
        ("abc", 0x024d_0127),
        ("abcde", 0x05c8_01f0),
        ("Wikipedia", 0x11e6_0398),
    ] {
        operation.send(data.as_bytes()).expect("send");
        let (digest, _) = operation.receive(4);
        assert_eq!(digest, u32::to_be_bytes(value), "{data}");
    }
}

fn nothing_sent() {
    let operation = Hash::adler32().accept();
    for _ in 0..3 {
        assert_eq!(operation.receive(4).0, [0, 0, 0, 1]);
    }
}

fn empty_sends() {
    let operation = Hash::adler32().accept();
    operation.send(b"").expect("send");
    assert_eq!(operation.value(), 1);
    operation.feed(b"");
    assert_eq!(operation.value(), 1);
    operation.feed(b"abc");
    operation.feed(b"");
    operation.send(b"").expect("send");
    assert_eq!(operation.value(), 0x024d_0127);
}

fn one_send_of_any_size() {
    let data = reference::noise(400_000, 50);
    let operation = Hash::adler32().accept();
    let boundaries = [4096, 5552, 8192, 32_768, 65_536, 131_072, 262_144];
    let around = boundaries
        .into_iter()
        .flat_map(|boundary| boundary - 1..=boundary + 1);
    for len in (1..100).chain(around).chain([400_000]) {
        let data = &data[..len];
        assert_eq!(
            value_of(&operation, data),
            reference::adler(data),
            "{len} bytes"
        );
    }
}

fn pieces_of_any_size() {
    let data = reference::noise(150_000, 51);
    let operation = Hash::adler32().accept();
    let mut rest = &data[..];
    for size in [1, 3, 7, 17, 63, 1021, 4095, 4097, 30_011].iter().cycle() {
        let (piece, after) = rest.split_at(rest.len().min(*size));
        operation.feed(piece);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    assert_eq!(operation.value(), reference::adler(&data));
}

/// Older kernels feed a hash at most 16 pages at a time.
fn sixteen_pages_and_one_byte() {
    let data = reference::noise(70_000, 52);
    let operation = Hash::adler32().accept();
    for len in [65_535, 65_536, 65_537] {
        for offset in [0, 1, 4095] {
            let data = &data[offset..][..len];
            assert_eq!(value_of(&operation, data), reference::adler(data));
            operation.feed(data);
            operation.feed(&data[..1]);
            let expected = reference::append(reference::adler(data), &data[..1]);
            assert_eq!(operation.value(), expected, "{len} bytes and one");
            operation.feed(&data[..1]);
            operation.send(data).expect("send");
            let expected = reference::append(reference::adler(&data[..1]), data);
            assert_eq!(operation.value(), expected, "one and {len} bytes");
        }
    }
}

fn unaligned_data() {
    let data = reference::noise(9000, 53);
    let operation = Hash::adler32().accept();
    for offset in 0..64 {
        for len in [1, 64, 4096, 8192] {
            let data = &data[offset..][..len];
            assert_eq!(value_of(&operation, data), reference::adler(data));
        }
    }
}

fn scattered_data() {
    let data = reference::noise(60_000, 54);
    let mut rest = &data[..];
    let mut pieces = Vec::new();
    for len in 0..300 {
        let (piece, after) = rest.split_at(len);
        pieces.push(IoSlice::new(piece));
        rest = after;
    }
    let sent = data.len() - rest.len();
    let operation = Hash::adler32().accept();
    assert_eq!(operation.send_vectored(&pieces), Ok(sent));
    assert_eq!(operation.value(), reference::adler(&data[..sent]));
}

fn send_without_more_ends_the_message() {
    let operation = Hash::adler32().accept();
    operation.feed(b"lost");
    operation.send(b"lost").expect("send");
    assert_eq!(value_of(&operation, b"abc"), 0x024d_0127);
}

fn operations_are_reused() {
    let operation = Hash::adler32().accept();
    for round in 0..50 {
        let data = reference::noise(1000 + round, round as u64);
        operation.feed(&data[..500]);
        operation.send(&data[500..]).expect("send");
        assert_eq!(operation.value(), reference::adler(&data));
    }
}

fn short_receive_is_marked() {
    let operation = Hash::adler32().accept();
    for room in [1, 2, 3, 4, 5, 64] {
        operation.send(b"Wikipedia").expect("send");
        let digest = [0x11, 0xe6, 0x03, 0x98];
        let expected = (digest[..room.min(4)].to_vec(), room < 4);
        assert_eq!(operation.receive(room), expected, "room for {room}");
    }
}

fn both_names_are_one_hash() {
    for name in [module::NAME, module::DRIVER] {
        let operation = Hash::bind(name).expect("bind").accept();
        assert_eq!(value_of(&operation, b"Wikipedia"), 0x11e6_0398);
    }
}

fn clone_in_mid_stream() {
    let data = reference::noise(100_000, 55);
    let first = Hash::adler32().accept();
    first.feed(&data);
    let second = first.fork();
    first.feed(b"one");
    second.feed(b"another");
    first.send(b" end").expect("send");
    assert_eq!(
        second.value(),
        reference::append(reference::adler(&data), b"another")
    );
    assert_eq!(
        first.value(),
        reference::append(reference::adler(&data), b"one end")
    );
    // Both can hash another message.
    assert_eq!(value_of(&second, b"abc"), 0x024d_0127);
    assert_eq!(value_of(&first, b"abc"), 0x024d_0127);
}

fn clone_of_an_empty_operation() {
    let first = Hash::adler32().accept();
    let second = first.fork();
    assert_eq!(value_of(&second, b"abc"), 0x024d_0127);
    assert_eq!(first.value(), 1);
    // A message that has started, with no data.
    first.feed(b"");
    let third = first.fork();
    drop(first);
    assert_eq!(value_of(&third, b"abc"), 0x024d_0127);
}

fn clone_of_a_clone() {
    let mut operations = vec![Hash::adler32().accept()];
    for depth in 0..10_u8 {
        operations[usize::from(depth)].feed(&[depth]);
        operations.push(operations[usize::from(depth)].fork());
    }
    let data: Vec<u8> = (0..10).collect();
    for (depth, operation) in operations.iter().enumerate() {
        let expected = reference::adler(&data[..(depth + 1).min(10)]);
        assert_eq!(operation.value(), expected, "depth {depth}");
    }
}

fn key_is_the_seed() {
    let data = reference::noise(10_000, 56);
    let hash = Hash::adler32();
    for seed in [1, 0, 0x0062_0062, 0xfff0_fff0, 0x1234_5678] {
        hash.set_key(&u32::to_be_bytes(seed)).expect("a key");
        // A key applies to every message of every operation socket that is accepted later.
        for _ in 0..2 {
            let operation = hash.accept();
            for _ in 0..2 {
                let expected = reference::append(seed, &data);
                assert_eq!(value_of(&operation, &data), expected, "from {seed:#x}");
            }
            assert_eq!(operation.value(), seed, "nothing sent");
        }
    }
    // As a hash that another process continues.
    hash.set_key(&[0x00, 0x62, 0x00, 0x62]).expect("a key");
    assert_eq!(value_of(&hash.accept(), b"bc"), 0x024d_0127);
}

fn key_of_wrong_length() {
    let hash = Hash::adler32();
    hash.set_key(&[0x00, 0x62, 0x00, 0x62]).expect("a key");
    for len in (0..=32).chain([64, 255, 4096]).filter(|&len| len != 4) {
        assert_eq!(
            hash.set_key(&vec![0; len]).errno(),
            Errno::EINVAL,
            "{len} bytes"
        );
    }
    assert_eq!(
        value_of(&hash.accept(), b"bc"),
        0x024d_0127,
        "the seed is unchanged"
    );
}

fn key_of_impossible_value() {
    let hash = Hash::adler32();
    hash.set_key(&[0x00, 0x62, 0x00, 0x62]).expect("a key");
    for seed in [
        65521,
        0xffff,
        0xfff1_0001,
        0x0001_fff1,
        0xfff1_fff1,
        u32::MAX,
    ] {
        let refused = hash.set_key(&u32::to_be_bytes(seed)).errno();
        assert_eq!(refused, Errno::EINVAL, "{seed:#x}");
    }
    assert_eq!(
        value_of(&hash.accept(), b"bc"),
        0x024d_0127,
        "the seed is unchanged"
    );
}

fn keys_do_not_mix() {
    let (one, other, none) = (Hash::adler32(), Hash::adler32(), Hash::adler32());
    one.set_key(&[0, 0, 0, 5]).expect("a key");
    other.set_key(&[0, 7, 0, 7]).expect("a key");
    assert_eq!(one.accept().value(), 5);
    assert_eq!(other.accept().value(), 0x0007_0007);
    assert_eq!(none.accept().value(), 1);
}

fn clone_keeps_the_seeded_state() {
    let hash = Hash::adler32();
    hash.set_key(&[0x00, 0x62, 0x00, 0x62]).expect("a key");
    let operation = hash.accept();
    operation.feed(b"b");
    let clone = operation.fork();
    assert_eq!(value_of(&clone, b"c"), 0x024d_0127);
    assert_eq!(value_of(&operation, b"c"), 0x024d_0127);
}

fn hmac_fails_cleanly() {
    for name in [
        "hmac(adler32)",
        "hmac(adler32-rust)",
        "cmac(adler32)",
        "adler32(adler32)",
    ] {
        let refused = Hash::bind(name).errno();
        assert!(
            [Errno::EINVAL, Errno::ENOENT].contains(&refused),
            "{name}: {refused:?}"
        );
    }
    assert_eq!(module::refcount(), Some(0));
    assert_eq!(value_of(&Hash::adler32().accept(), b"abc"), 0x024d_0127);
}

fn bad_address_is_refused() {
    let operation = Hash::adler32().accept();
    for address in [0, 1, 0xffff_8880_0000_0000] {
        let refused = adler32_tests::memory::write_from(&operation, address, 100);
        assert_eq!(refused.errno(), Errno::EFAULT);
    }
    assert_eq!(value_of(&operation, b"abc"), 0x024d_0127);
}

fn sendfile_feeds_an_operation() {
    let data = reference::noise(300_001, 57);
    let file = file_of(&data);
    let operation = Hash::adler32().accept();
    let mut left = data.len();
    while left > 0 {
        let sent = sendfile::sendfile(&operation, &file, None, left).expect("sendfile");
        assert!(sent > 0, "the file ended {left} bytes early");
        left -= sent;
    }
    assert_eq!(operation.value(), reference::adler(&data));
}

fn splice_feeds_an_operation() {
    let data = reference::noise(30_000, 58);
    let (reader, writer) = unistd::pipe().expect("pipe");
    File::from(writer).write_all(&data).expect("write");
    let operation = Hash::adler32().accept();
    let mut left = data.len();
    while left > 0 {
        let flags = SpliceFFlags::SPLICE_F_MORE;
        left -= fcntl::splice(&reader, None, &operation, None, left, flags).expect("splice");
    }
    assert_eq!(operation.value(), reference::adler(&data));
}

fn parallel_operations_64() {
    let hash = Hash::adler32();
    thread::scope(|scope| {
        for number in 0..64_u64 {
            let operation = hash.accept();
            scope.spawn(move || {
                let data = reference::noise(20_000 + 100 * number as usize, number);
                for piece in data.chunks(3001) {
                    operation.feed(piece);
                }
                assert_eq!(operation.value(), reference::adler(&data), "{number}");
            });
        }
    });
}

/// kcapi-dgst uses vmsplice instead of send from 32 KiB on.
fn kcapi_dgst_agrees() {
    let data = reference::noise(65_537, 59);
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    for len in [1, 4096, 32_767, 32_768, 65_535, 65_536, 65_537] {
        std::fs::write(file.path(), &data[..len]).expect("write");
        let path = file.path().display();
        let output = sh(&format!("kcapi-dgst -c adler32 --hex -i {path}"));
        let expected = format!("{:08x}", reference::adler(&data[..len]));
        assert_eq!(output.trim(), expected, "{len} bytes");
    }
}

fn python_agrees() {
    let output = sh(r#"python3 -c '
import socket, zlib
with socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET) as s:
    s.bind(("hash", "adler32"))
    op, _ = s.accept()
    with op:
        for data in b"", b"abc", bytes(range(256)) * 1000:
            op.sendall(data)
            assert int.from_bytes(op.recv(4), "big") == zlib.adler32(data)
print("agrees")
'"#);
    assert_eq!(output, "agrees\n");
}
