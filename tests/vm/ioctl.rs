// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The ioctls, with right arguments and with every kind of wrong one.

use std::collections::BTreeSet;
use std::fs::File;

use adler32::uapi::Buffer;
use adler32::uapi::Digest;
use adler32::uapi::Info;
use adler32::uapi::State;
use adler32::uapi::ABI_VERSION;
use adler32::uapi::MAX_LENGTH;
use libc::Ioctl;
use nix::errno::Errno;
use nix::sys::mman::ProtFlags;

use adler32_tests::device;
use adler32_tests::device::Device;
use adler32_tests::device::COMBINE;
use adler32_tests::device::DIGEST;
use adler32_tests::device::EMPTY;
use adler32_tests::device::GET;
use adler32_tests::device::INFO;
use adler32_tests::device::REQUESTS;
use adler32_tests::device::RESET;
use adler32_tests::device::SET;
use adler32_tests::device::UPDATE;
use adler32_tests::memory;
use adler32_tests::memory::page_size;
use adler32_tests::memory::Map;
use adler32_tests::memory::FOREIGN_ADDRESSES;
use adler32_tests::module;
use adler32_tests::reference;
use adler32_tests::trials;
use adler32_tests::ErrnoOf;

trials!(after module::ensure_loaded:
    reset_empties,
    reset_ignores_its_argument,
    get_and_set,
    set_then_continue,
    set_refuses_impossible_values,
    set_refuses_reserved_and_long,
    update_appends,
    update_of_nothing_needs_no_memory,
    update_of_every_boundary,
    digest_leaves_the_session_alone,
    digest_chains,
    digest_refuses_impossible_values_and_reserved,
    combine_appends_a_part,
    combine_of_enormous_parts,
    combine_refuses_impossible_values,
    info_describes_the_module,
    length_cannot_overflow,
    published_length_cannot_overflow,
    refused_without_write_permission,
    allowed_without_write_permission,
    unknown_numbers,
    unknown_types,
    wrong_size_and_direction,
    misaligned_structures,
    structures_cut_by_a_hole,
    structures_across_pages,
    structures_nowhere,
    structures_in_read_only_memory,
    data_nowhere,
    data_cut_by_a_hole,
    data_of_enormous_length,
    data_in_read_only_memory,
    data_that_is_the_structure,
    checks_come_in_order,
);

/// Values that no data has.
const IMPOSSIBLE: [u32; 8] = [
    65521,
    0xffff,
    0xfff1_0001,
    0xffff_0000,
    0xfff1_fff1,
    0xffff_ffff,
    0x0001_fff1,
    0xfff1_fff0,
];

/// Opens a private session of `abc`.
fn session() -> File {
    let file = device::private();
    file.write_whole(b"abc");
    file
}

/// Checks that the session is still that of `abc`.
#[track_caller]
fn assert_untouched(file: &File) {
    assert_eq!(file.state(), device::state_of(b"abc"));
}

fn reset_empties() {
    let file = session();
    file.reset().expect("RESET");
    assert_eq!(file.state(), EMPTY);
    assert_eq!(file.text(), "00000001\n");
    file.reset().expect("RESET");
    assert_eq!(file.state(), EMPTY);
}

fn reset_ignores_its_argument() {
    for argument in [0, 1, usize::MAX, 0xffff_8880_0000_0000] {
        let file = session();
        file.ioctl(RESET, argument).expect("RESET");
        assert_eq!(file.state(), EMPTY);
    }
}

fn get_and_set() {
    let file = session();
    for state in [
        EMPTY,
        device::state(0, 0),
        device::state(0xfff0_fff0, 1),
        device::state(0x1234_5678, MAX_LENGTH),
        device::state(0xfff0_0000, 0x1_0000_0000),
    ] {
        file.set(state).expect("SET");
        assert_eq!(file.state(), state);
        assert_eq!(file.text(), reference::text(state.value));
    }
}

fn set_then_continue() {
    let data = reference::noise(10_000, 30);
    let first = device::private();
    first.write_whole(&data[..4321]);
    // As a program that continues after a restart.
    let second = device::private();
    second.set(first.state()).expect("SET");
    second.write_whole(&data[4321..]);
    assert_eq!(second.state(), device::state_of(&data));
}

fn set_refuses_impossible_values() {
    let file = session();
    for value in IMPOSSIBLE {
        assert_eq!(
            file.set(device::state(value, 3)).errno(),
            Errno::EINVAL,
            "{value:#x}"
        );
        assert_untouched(&file);
    }
}

fn set_refuses_reserved_and_long() {
    let file = session();
    for request in [SET, COMBINE] {
        for reserved in (0..32).map(|bit| 1 << bit) {
            let state = State { reserved, ..EMPTY };
            let refused = file.ioctl(request, &raw const state as usize);
            assert_eq!(refused.errno(), Errno::EINVAL, "reserved {reserved:#x}");
        }
        for length in [MAX_LENGTH + 1, MAX_LENGTH + 2, u64::MAX] {
            let state = device::state(1, length);
            let refused = file.ioctl(request, &raw const state as usize);
            assert_eq!(refused.errno(), Errno::EINVAL, "length {length:#x}");
        }
        assert_untouched(&file);
    }
}

fn update_appends() {
    let data = reference::noise(1_000_000, 31);
    let file = device::private();
    file.update(&data[..1]).expect("UPDATE");
    file.update(&data[1..]).expect("UPDATE");
    assert_eq!(file.state(), device::state_of(&data));
    file.write_whole(b"written");
    file.update(b"updated").expect("UPDATE");
    let all = [&data[..], b"written", b"updated"].concat();
    assert_eq!(file.state(), device::state_of(&all));
    assert_eq!(file.text(), reference::text(reference::adler(&all)));
}

fn update_of_nothing_needs_no_memory() {
    let file = session();
    for address in FOREIGN_ADDRESSES.into_iter().chain([0, 1]) {
        file.update_from(address, 0).expect("UPDATE");
        assert_eq!(file.digest_from(5, address, 0).expect("DIGEST"), 5);
    }
    assert_untouched(&file);
}

fn update_of_every_boundary() {
    let data = reference::noise(300_000, 32);
    let file = device::private();
    for boundary in [4096, 5552, 8192, 16384, 32768, 65536, 131_072, 262_144] {
        for len in boundary - 1..=boundary + 1 {
            let piece = &data[len % 61..][..len];
            file.reset().expect("RESET");
            file.update(piece).expect("UPDATE");
            assert_eq!(file.state(), device::state_of(piece), "{len} bytes");
            assert_eq!(
                file.digest(1, piece).expect("DIGEST"),
                reference::adler(piece)
            );
        }
    }
}

fn digest_leaves_the_session_alone() {
    let file = session();
    assert_eq!(file.digest(1, b"Wikipedia").expect("DIGEST"), 0x11e6_0398);
    assert_untouched(&file);
    let view = device::view();
    let before = view.text();
    assert_eq!(view.digest(1, b"Wikipedia").expect("DIGEST"), 0x11e6_0398);
    assert_eq!(view.text(), before);
    let writer = device::replace();
    assert_eq!(writer.digest(1, b"Wikipedia").expect("DIGEST"), 0x11e6_0398);
    assert_eq!(writer.state(), EMPTY);
}

fn digest_chains() {
    let data = reference::noise(100_000, 33);
    let file = device::private();
    let mut value = 1;
    for piece in data.chunks(7777) {
        value = file.digest(value, piece).expect("DIGEST");
    }
    assert_eq!(value, reference::adler(&data));
    for start in [0, 0xfff0_fff0, 0x1234_5678] {
        let value = file.digest(start, &data).expect("DIGEST");
        assert_eq!(value, reference::append(start, &data), "from {start:#x}");
    }
}

fn digest_refuses_impossible_values_and_reserved() {
    let file = session();
    for value in IMPOSSIBLE {
        assert_eq!(
            file.digest(value, b"abc").errno(),
            Errno::EINVAL,
            "{value:#x}"
        );
        assert_eq!(
            file.digest(value, b"").errno(),
            Errno::EINVAL,
            "{value:#x}, no data"
        );
    }
    for reserved in (0..32).map(|bit| 1 << bit) {
        let mut digest = Digest {
            reserved,
            ..device::digest_of(b"abc")
        };
        let refused = file.ioctl(DIGEST, &raw mut digest as usize);
        assert_eq!(refused.errno(), Errno::EINVAL, "reserved {reserved:#x}");
        assert_eq!(digest.value, 1);
    }
    assert_untouched(&file);
}

fn combine_appends_a_part() {
    let data = reference::noise(200_000, 34);
    for split in [
        0, 1, 2, 4096, 65_520, 65_521, 65_522, 131_042, 199_999, 200_000,
    ] {
        let (first, second) = data.split_at(split);
        let file = device::private();
        file.write_whole(first);
        file.combine(device::state_of(second)).expect("COMBINE");
        assert_eq!(file.state(), device::state_of(&data), "split at {split}");
        // The session can be continued.
        file.write_whole(b"abc");
        let all = [&data[..], b"abc"].concat();
        assert_eq!(file.state(), device::state_of(&all));
    }
    // Many parts.
    let file = device::private();
    for part in data.chunks(1234) {
        file.combine(device::state_of(part)).expect("COMBINE");
    }
    assert_eq!(file.state(), device::state_of(&data));
}

fn combine_of_enormous_parts() {
    for byte in [0, 1, 0xff] {
        for length in [
            0xffff_ffff,
            0x1_0000_0000,
            65521 << 40,
            MAX_LENGTH - 4,
            MAX_LENGTH - 3,
        ] {
            let part = device::state(reference::append_repeated(1, byte, length), length);
            let file = session();
            file.combine(part).expect("COMBINE");
            let value = reference::append_repeated(reference::adler(b"abc"), byte, length);
            assert_eq!(file.state(), device::state(value, length + 3));
        }
    }
}

fn combine_refuses_impossible_values() {
    let file = session();
    for value in IMPOSSIBLE {
        assert_eq!(
            file.combine(device::state(value, 3)).errno(),
            Errno::EINVAL,
            "{value:#x}"
        );
        assert_untouched(&file);
    }
}

fn info_describes_the_module() {
    let info = device::view().info().expect("INFO");
    assert_eq!((info.abi_version, info.reserved), (ABI_VERSION, 0));
    let version = device::text_of(&info.module_version);
    assert_eq!(module::modinfo("version"), [version]);
    let implementation = device::text_of(&info.implementation);
    assert_eq!(implementation, module::default_implementation());
}

fn length_cannot_overflow() {
    let file = device::private();
    let nearly = device::state(0x1234_5678, MAX_LENGTH - 2);
    file.set(nearly).expect("SET");
    assert_eq!(
        memory::write_from(&file, b"abc".as_ptr() as usize, 3).errno(),
        Errno::EOVERFLOW
    );
    let pieces = [(b"a".as_ptr() as usize, 1), (b"bc".as_ptr() as usize, 2)];
    assert_eq!(
        memory::writev_from(&file, &pieces).errno(),
        Errno::EOVERFLOW
    );
    assert_eq!(file.update(b"abc").errno(), Errno::EOVERFLOW);
    assert_eq!(
        file.combine(device::state_of(b"abc")).errno(),
        Errno::EOVERFLOW
    );
    assert_eq!(
        file.combine(device::state(1, MAX_LENGTH)).errno(),
        Errno::EOVERFLOW
    );
    assert_eq!(file.state(), nearly, "a refused call changed the session");
    file.write_whole(b"a");
    file.update(b"b").expect("UPDATE");
    let full = device::state(reference::append(0x1234_5678, b"ab"), MAX_LENGTH);
    assert_eq!(file.state(), full);
    file.write_whole(b"");
    file.update(b"").expect("UPDATE");
    file.combine(EMPTY).expect("COMBINE");
    assert_eq!(file.update(b"c").errno(), Errno::EOVERFLOW);
    assert_eq!(file.state(), full);
    assert_eq!(file.digest(1, b"abc").expect("DIGEST"), 0x024d_0127);
}

fn published_length_cannot_overflow() {
    let full = device::state(0x1234_5678, MAX_LENGTH);
    device::replace().set(full).expect("SET");
    let file = device::append();
    assert_eq!(
        memory::write_from(&file, b"a".as_ptr() as usize, 1).errno(),
        Errno::EOVERFLOW
    );
    drop(file);
    assert_eq!(device::slot(), full);
}

fn refused_without_write_permission() {
    for flags in [
        libc::O_RDONLY,
        libc::O_RDONLY | libc::O_APPEND,
        libc::O_ACCMODE,
    ] {
        let file = device::open(flags).expect("open");
        let before = file.state();
        for (name, result) in [
            ("RESET", file.reset()),
            ("SET", file.set(EMPTY)),
            ("UPDATE", file.update(b"abc")),
            ("UPDATE of nothing", file.update(b"")),
            ("COMBINE", file.combine(EMPTY)),
            ("SET from nowhere", file.ioctl(SET, 0)),
            ("UPDATE from nowhere", file.ioctl(UPDATE, 0)),
            ("COMBINE from nowhere", file.ioctl(COMBINE, 0)),
            ("SET of an impossible value", file.set(device::state(!0, 0))),
        ] {
            assert_eq!(result.errno(), Errno::EBADF, "{name}, flags {flags:#x}");
        }
        assert_eq!(file.state(), before);
    }
}

fn allowed_without_write_permission() {
    device::publish(b"abc");
    for flags in [libc::O_RDONLY, libc::O_ACCMODE] {
        let file = device::open(flags).expect("open");
        file.state();
        file.info().expect("INFO");
        assert_eq!(file.digest(1, b"abc").expect("DIGEST"), 0x024d_0127);
    }
}

fn encode(direction: u32, kind: u32, number: u32, size: u32) -> Ioctl {
    Ioctl::from(direction << 30 | size << 16 | kind << 8 | number)
}

fn unknown_numbers() {
    let known: BTreeSet<_> = REQUESTS.into_iter().collect();
    let file = session();
    for number in 0..=0xff {
        for direction in 0..4 {
            for size in [0, 8, 16, 24, 56] {
                let request = encode(direction, 0xAD, number, size);
                if !known.contains(&request) {
                    assert_eq!(
                        file.ioctl(request, 0).errno(),
                        Errno::ENOTTY,
                        "{request:#x}"
                    );
                }
            }
        }
    }
    assert_untouched(&file);
}

fn unknown_types() {
    let file = session();
    for kind in (0..=0xff).filter(|&kind| kind != 0xAD) {
        for request in REQUESTS {
            let request = request & !0xff00 | Ioctl::from(kind as u32) << 8;
            assert_eq!(
                file.ioctl(request, 0).errno(),
                Errno::ENOTTY,
                "{request:#x}"
            );
        }
    }
    assert_untouched(&file);
}

fn wrong_size_and_direction() {
    let file = session();
    let mut room = [0_u8; 0x4000];
    for request in REQUESTS {
        let (direction, number) = (request as u32 >> 30, request as u32 & 0xff);
        let size = request as u32 >> 16 & 0x3fff;
        for wrong in (0..=64).chain([0x3fff]).filter(|&wrong| wrong != size) {
            let request = encode(direction, 0xAD, number, wrong);
            let refused = file.ioctl(request, room.as_mut_ptr() as usize);
            assert_eq!(refused.errno(), Errno::ENOTTY, "{request:#x}");
        }
        for wrong in (0..4).filter(|&wrong| wrong != direction) {
            let request = encode(wrong, 0xAD, number, size);
            let refused = file.ioctl(request, room.as_mut_ptr() as usize);
            assert_eq!(refused.errno(), Errno::ENOTTY, "{request:#x}");
        }
    }
    assert!(
        room.iter().all(|&byte| byte == 0),
        "a refused request wrote to memory"
    );
    assert_untouched(&file);
}

fn misaligned_structures() {
    let mut map = Map::new(page_size());
    for offset in 0..8 {
        let file = device::private();
        let address = map.address() + offset;
        map.put(offset, device::state(0x0062_0062, 1));
        file.ioctl(SET, address).expect("SET");
        map.put(
            offset,
            Buffer {
                address: b"bc".as_ptr() as u64,
                length: 2,
            },
        );
        file.ioctl(UPDATE, address).expect("UPDATE");
        map.put(offset, device::state_of(b"de"));
        file.ioctl(COMBINE, address).expect("COMBINE");
        map.put(offset, device::state(0, 0));
        file.ioctl(GET, address).expect("GET");
        assert_eq!(
            map.get::<State>(offset),
            device::state_of(b"abcde"),
            "offset {offset}"
        );
        map.put(offset, device::digest_of(b"Wikipedia"));
        file.ioctl(DIGEST, address).expect("DIGEST");
        assert_eq!(map.get::<Digest>(offset).value, 0x11e6_0398);
        file.ioctl(INFO, address).expect("INFO");
        assert_eq!(map.get::<Info>(offset), file.info().expect("INFO"));
    }
}

fn size_of(request: Ioctl) -> usize {
    (request >> 16 & 0x3fff) as usize
}

fn structures_cut_by_a_hole() {
    let file = session();
    for request in REQUESTS.into_iter().filter(|&request| size_of(request) > 0) {
        for there in 0..size_of(request) {
            let (map, offset) = Map::before_hole(&vec![0; there]);
            let refused = file.ioctl(request, map.address() + offset);
            assert_eq!(
                refused.errno(),
                Errno::EFAULT,
                "{request:#x} with {there} bytes"
            );
        }
        // The same before memory that is not mapped.
        let map = Map::new(2 * page_size());
        map.unmap(page_size()..2 * page_size());
        let refused = file.ioctl(request, map.address() + page_size() - size_of(request) + 1);
        assert_eq!(
            refused.errno(),
            Errno::EFAULT,
            "{request:#x} before unmapped memory"
        );
    }
    assert_untouched(&file);
}

fn structures_across_pages() {
    let file = device::private();
    let mut map = Map::new(2 * page_size());
    for offset in page_size() - 15..page_size() {
        map.put(offset, device::state(0x024d_0127, 3));
        file.ioctl(SET, map.address() + offset).expect("SET");
        assert_untouched(&file);
        map.put(offset, EMPTY);
        file.ioctl(GET, map.address() + offset).expect("GET");
        assert_eq!(map.get::<State>(offset), device::state_of(b"abc"));
    }
}

fn structures_nowhere() {
    let file = session();
    let map = Map::new(page_size());
    map.protect(0..page_size(), ProtFlags::PROT_NONE);
    let nowhere = [0, 1, map.address() as u64];
    for address in FOREIGN_ADDRESSES.into_iter().chain(nowhere) {
        for request in REQUESTS.into_iter().filter(|&request| request != RESET) {
            let refused = file.ioctl(request, address as usize);
            assert_eq!(
                refused.errno(),
                Errno::EFAULT,
                "{request:#x} at {address:#x}"
            );
        }
    }
    assert_untouched(&file);
}

fn structures_in_read_only_memory() {
    let file = session();
    let mut map = Map::new(page_size());
    map.put(0, device::state(0x024d_0127, 3));
    let digest = device::digest_of(b"abc");
    map.put(64, digest);
    map.protect(0..page_size(), ProtFlags::PROT_READ);
    // The kernel only reads these structures.
    file.ioctl(SET, map.address()).expect("SET");
    assert_untouched(&file);
    file.ioctl(COMBINE, map.address()).expect("COMBINE");
    assert_eq!(file.state(), device::state_of(b"abcabc"));
    // The kernel would write to these structures.
    for (request, offset) in [(GET, 0), (INFO, 0), (DIGEST, 64)] {
        let refused = file.ioctl(request, map.address() + offset);
        assert_eq!(refused.errno(), Errno::EFAULT, "{request:#x}");
    }
    map.protect(0..page_size(), ProtFlags::PROT_READ | ProtFlags::PROT_WRITE);
    assert_eq!(map.get::<State>(0), device::state(0x024d_0127, 3));
    assert_eq!(map.get::<Digest>(64), digest);
}

fn data_nowhere() {
    let file = session();
    let map = Map::new(page_size());
    map.protect(0..page_size(), ProtFlags::PROT_NONE);
    let nowhere = [0, 1, map.address() as u64];
    for address in FOREIGN_ADDRESSES.into_iter().chain(nowhere) {
        for length in [1, 7, 4096, 1 << 20] {
            let place = format!("{length} bytes at {address:#x}");
            assert_eq!(
                file.update_from(address, length).errno(),
                Errno::EFAULT,
                "{place}"
            );
            assert_eq!(
                file.digest_from(1, address, length).errno(),
                Errno::EFAULT,
                "{place}"
            );
        }
    }
    assert_untouched(&file);
}

fn data_cut_by_a_hole() {
    let data = reference::noise(300_000, 35);
    let file = session();
    for len in [
        1, 2, 4095, 4096, 4097, 65_535, 65_536, 65_537, 131_072, 300_000,
    ] {
        let (map, offset) = Map::before_hole(&data[..len]);
        let address = (map.address() + offset) as u64;
        let len = len as u64;
        for too_far in [1, 100, 4096, 1 << 20] {
            let refused = file.update_from(address, len + too_far);
            assert_eq!(
                refused.errno(),
                Errno::EFAULT,
                "{len} bytes and {too_far} more"
            );
            let refused = file.digest_from(1, address, len + too_far);
            assert_eq!(
                refused.errno(),
                Errno::EFAULT,
                "{len} bytes and {too_far} more"
            );
        }
        assert_untouched(&file);
        let value = file.digest_from(1, address, len).expect("DIGEST");
        assert_eq!(value, reference::adler(&data[..len as usize]));
    }
}

fn data_of_enormous_length() {
    let file = session();
    let map = Map::new(page_size());
    let address = map.address() as u64;
    for length in [
        MAX_LENGTH,
        MAX_LENGTH + 1,
        MAX_LENGTH - 3,
        u64::MAX,
        u64::MAX - address,
        u64::MAX - address + 1,
        1 << 47,
        1 << 48,
    ] {
        for result in [
            file.update_from(address, length).errno(),
            file.digest_from(1, address, length).map(drop).errno(),
        ] {
            assert_eq!(result, Errno::EINVAL, "length {length:#x}");
        }
    }
    assert_untouched(&file);

    // The module checks the length of the session before it reads the data.
    file.set(device::state(1, MAX_LENGTH - 3)).expect("SET");
    assert_eq!(file.update_from(1, 3).errno(), Errno::EFAULT);
    assert_eq!(file.update_from(1, 4).errno(), Errno::EOVERFLOW);
}

fn data_in_read_only_memory() {
    let data = reference::noise(2 * page_size(), 36);
    let mut map = Map::new(data.len());
    map.bytes().copy_from_slice(&data);
    map.protect(0..data.len(), ProtFlags::PROT_READ);
    let file = device::private();
    file.update_from(map.address() as u64, data.len() as u64)
        .expect("UPDATE");
    assert_eq!(file.state(), device::state_of(&data));
}

fn data_that_is_the_structure() {
    let file = device::private();
    let mut map = Map::new(page_size());
    let address = map.address() as u64;
    map.put(
        0,
        Buffer {
            address,
            length: 16,
        },
    );
    let expected = device::state_of(&map.bytes()[..16]);
    file.ioctl(UPDATE, map.address()).expect("UPDATE");
    assert_eq!(file.state(), expected);
    let digest = device::digest_of(&map.bytes()[..24]);
    map.put(0, digest);
    let expected = reference::adler(&map.bytes()[..24]);
    file.ioctl(DIGEST, map.address()).expect("DIGEST");
    let value = expected;
    assert_eq!(map.get::<Digest>(0), Digest { value, ..digest });
}

fn checks_come_in_order() {
    // Several things are wrong in each call. The first check decides.
    let bad = State {
        value: !0,
        reserved: 1,
        length: !0,
    };
    let argument = &raw const bad as usize;
    let view = device::view();
    assert_eq!(view.ioctl(SET, argument).errno(), Errno::EBADF);
    assert_eq!(view.ioctl(SET | 1 << 16, argument).errno(), Errno::ENOTTY);
    let file = session();
    assert_eq!(file.ioctl(SET, argument).errno(), Errno::EINVAL);
    assert_eq!(file.ioctl(COMBINE, argument).errno(), Errno::EINVAL);
    let mut digest = Digest {
        address: 0,
        length: 100,
        value: 1,
        reserved: 1,
    };
    assert_eq!(
        file.ioctl(DIGEST, &raw mut digest as usize).errno(),
        Errno::EINVAL
    );
    digest.reserved = 0;
    digest.value = !0;
    assert_eq!(
        file.ioctl(DIGEST, &raw mut digest as usize).errno(),
        Errno::EINVAL
    );
    assert_untouched(&file);
}
