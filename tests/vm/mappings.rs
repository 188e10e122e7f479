// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Every kind of memory that a program can read. The module reads pages in place if the kernel can
//! pin them, and must read the other memory, too.

use std::array;
use std::fs;
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use libtest_mimic::Completion;
use nix::errno::Errno;
use nix::sys::memfd;
use nix::sys::memfd::MFdFlags;
use nix::sys::mman::MapFlags;
use nix::sys::mman::MmapAdvise;
use nix::sys::mman::ProtFlags;
use nix::unistd;

use adler32::uapi::MAX_BUFFER;
use adler32_tests::device;
use adler32_tests::device::Device;
use adler32_tests::files::file_in;
use adler32_tests::files::file_of;
use adler32_tests::files::DIRECTORIES;
use adler32_tests::memory;
use adler32_tests::memory::page_size;
use adler32_tests::memory::Map;
use adler32_tests::memory::NO_HUGE_PAGES;
use adler32_tests::module;
use adler32_tests::module::Log;
use adler32_tests::reference;
use adler32_tests::trials;
use adler32_tests::usage;
use adler32_tests::ErrnoOf;

trials!(after module::ensure_loaded:
    never_written,
    read_only,
    given_up,
    file_private,
    file_private_written,
    file_shared,
    file_of_a_program,
    file_in_memory,
    file_with_a_hole,
    secret,
    secret_is_not_left_in_the_kernel,
    below_the_stack,
    huge_transparent,
    huge_reserved,
    device_memory,
    kernel_code_for_programs,
    kernel_data_for_programs,
    protected_by_a_key,
);

/// Checks write(2), writev(2), UPDATE and DIGEST of memory, and of parts of it: a few bytes, many
/// pages, and ranges that start and end in the middle of a page.
#[track_caller]
fn assert_reads(address: usize, expected: &[u8]) {
    let len = expected.len();
    let ordinary = reference::noise(5000, 90);
    for range in [
        0..len,
        1..len - 1,
        0..16,
        len - 16..len,
        len / 2 - 8..len / 2 + 8,
        len / 2 - page_size() / 2..len / 2 + page_size() / 2,
    ] {
        let (start, data) = (address + range.start, &expected[range.clone()]);
        let file = device::private();
        let written = memory::write_from(&file, start, data.len());
        assert_eq!(written.expect("write"), data.len(), "{range:?}");
        assert_eq!(file.state(), device::state_of(data), "{range:?}");

        file.reset().expect("RESET");
        let updated = file.update_from(start as u64, data.len() as u64);
        updated.expect("UPDATE");
        assert_eq!(file.state(), device::state_of(data), "{range:?}");

        let digest = file.digest_from(1, start as u64, data.len() as u64);
        assert_eq!(digest.expect("DIGEST"), reference::adler(data), "{range:?}");

        file.reset().expect("RESET");
        let (address, split) = (ordinary.as_ptr() as usize, data.len() / 3);
        let pieces = [
            (address, 100),
            (start, split),
            (address + 100, 4900),
            (start + split, data.len() - split),
        ];
        let written = memory::writev_from(&file, &pieces);
        assert_eq!(written.expect("writev"), 5000 + data.len(), "{range:?}");
        let all = [
            &ordinary[..100],
            &data[..split],
            &ordinary[100..],
            &data[split..],
        ]
        .concat();
        assert_eq!(file.state(), device::state_of(&all), "{range:?}");
    }
}

/// Returns the range in ordinary memory of the memory to test.
fn middle() -> Range<usize> {
    20 * page_size()..40 * page_size()
}

/// Returns ordinary memory and its content.
fn ordinary() -> (Map, Vec<u8>) {
    let mut map = Map::new(64 * page_size());
    let data = reference::noise(map.size(), 91);
    map.bytes().copy_from_slice(&data);
    (map, data)
}

/// Lets `replace` replace the middle of ordinary memory by memory that contains `content`, and
/// checks that all of it is read.
#[track_caller]
fn assert_reads_across(content: &[u8], replace: impl FnOnce(&mut Map)) {
    let (mut map, mut data) = ordinary();
    replace(&mut map);
    data[middle()].copy_from_slice(content);
    assert_reads(map.address(), &data);
    assert_reads(map.address() + middle().start, content);
}

fn content() -> Vec<u8> {
    reference::noise(middle().len(), 92)
}

/// Returns a function that maps the start of a file in the middle.
fn middle_from(file: impl AsFd, flags: MapFlags) -> impl FnOnce(&mut Map) {
    move |map| map.map_file(middle(), file, 0, flags)
}

fn never_written() {
    assert_reads_across(&vec![0; middle().len()], |map| map.discard(middle()));
}

fn read_only() {
    let (map, data) = ordinary();
    map.protect(middle(), ProtFlags::PROT_READ);
    assert_reads(map.address(), &data);
}

fn given_up() {
    // The kernel discards the content only when it needs the memory, which is not the case here.
    let (map, data) = ordinary();
    map.advise(middle(), MmapAdvise::MADV_FREE);
    assert_reads(map.address(), &data);
}

fn file_private() {
    for directory in DIRECTORIES {
        let file = file_in(directory, &content());
        assert_reads_across(&content(), middle_from(file, MapFlags::MAP_PRIVATE));
    }
}

fn file_private_written() {
    // Every other page is a private copy.
    let file = file_of(&vec![0xff; middle().len()]);
    let mut content = vec![0xff; middle().len()];
    let (mut map, _) = ordinary();
    middle_from(file, MapFlags::MAP_PRIVATE)(&mut map);
    map.protect(middle(), ProtFlags::PROT_READ | ProtFlags::PROT_WRITE);
    for page in (0..content.len()).step_by(2 * page_size()) {
        content[page] = 0;
        map.bytes()[middle().start + page] = 0;
    }
    assert_reads(map.address() + middle().start, &content);
}

fn file_shared() {
    for directory in DIRECTORIES {
        let file = file_in(directory, &content());
        assert_reads_across(&content(), middle_from(file, MapFlags::MAP_SHARED));
    }
}

fn file_of_a_program() {
    // In the file system that the guest shares with the host.
    let path = "/proc/self/exe";
    let file = File::open(path).expect(path);
    let content = fs::read(path).expect(path);
    let content = &content[..middle().len()];
    assert_reads_across(content, middle_from(file, MapFlags::MAP_PRIVATE));
}

fn file_in_memory() {
    let file = memfd::memfd_create("test", MFdFlags::MFD_CLOEXEC).expect("memfd_create");
    let written = unistd::write(&file, &content());
    assert_eq!(written, Ok(middle().len()));
    assert_reads_across(&content(), middle_from(file, MapFlags::MAP_SHARED));
}

fn file_with_a_hole() {
    let file = file_of(&content()[..3 * page_size() + 5]);
    file.set_len(middle().len() as u64).expect("ftruncate");
    let mut content = content();
    content[3 * page_size() + 5..].fill(0);
    assert_reads_across(&content, middle_from(file, MapFlags::MAP_SHARED));
}

/// Maps secret memory, of which the kernel itself has no mapping.
fn map_secret(map: &mut Map, range: Range<usize>) {
    // SAFETY: The call takes no pointers.
    let fd = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    let fd = Errno::result(fd).expect("memfd_secret") as i32;
    // SAFETY: memfd_secret() has just opened the descriptor, and nothing else owns it.
    let file = unsafe { OwnedFd::from_raw_fd(fd) };
    unistd::ftruncate(&file, range.len() as i64).expect("ftruncate");
    map.map_file(range.clone(), &file, 0, MapFlags::MAP_SHARED);
    map.protect(range, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE);
}

fn secret() {
    assert_reads_across(&content(), |map| {
        map_secret(map, middle());
        map.bytes()[middle()].copy_from_slice(&content());
    });
}

/// The module copies secret memory, to buffers and to its stack.
fn secret_is_not_left_in_the_kernel() {
    let word = fastrand::u64(..);
    let mut map = Map::new(16 * page_size());
    let size = map.size();
    map_secret(&mut map, 0..size);
    for place in map.bytes().chunks_exact_mut(8) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    let file = device::private();
    for len in [256, 3000, size, 256] {
        memory::write_from(&file, map.address(), len).expect("write");
    }
    assert_eq!(copies_in_memory(word), 0, "copies were not wiped");
}

/// Returns at how many addresses the kernel's memory contains 64 bytes of repetitions of `word`.
fn copies_in_memory(word: u64) -> usize {
    let rotations: [u64; 8] = array::from_fn(|byte| word.rotate_left(8 * byte as u32));
    let core = File::open("/proc/kcore").expect("/proc/kcore");
    let read = |bytes: &mut [u8], offset| core.read_exact_at(bytes, offset);
    let mut header = [0; 64];
    read(&mut header, 0).expect("the ELF header");
    let word_of = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().expect("8 bytes"));
    let segments = u64::from(u16::from_ne_bytes([header[56], header[57]]));
    let mut buffer = vec![0; 1 << 20];
    let mut found = 0;
    for segment in 0..segments {
        let mut entry = [0; 56];
        let table = word_of(&header[32..40]);
        read(&mut entry, table + segment * 56).expect("a program header");
        let [offset, _, physical, size] = array::from_fn(|at| word_of(&entry[8 + 8 * at..][..8]));
        // Other segments map the same memory again.
        if entry[0] != libc::PT_LOAD as u8 || physical == u64::MAX {
            continue;
        }
        for start in (0..size).step_by(buffer.len()) {
            let len = buffer.len().min((size - start) as usize);
            if read(&mut buffer[..len], offset + start).is_err() {
                continue;
            }
            found += buffer[..len]
                .chunks_exact(64)
                .filter(|line| {
                    let mut words = line.chunks_exact(8).map(word_of);
                    words.all(|word| rotations.contains(&word))
                })
                .count();
        }
    }
    found
}

/// The kernel makes a stack larger when a program uses the memory below it.
fn below_the_stack() {
    let mut log = Log::from_now();
    let maps = fs::read_to_string("/proc/self/maps").expect("the mappings");
    let stack = maps.lines().find(|line| line.ends_with("[stack]"));
    let (start, _) = stack
        .and_then(|line| line.split_once('-'))
        .expect("a stack");
    let start = usize::from_str_radix(start, 16).expect(start);
    let file = device::private();
    let written = memory::write_from(&file, start - 8 * page_size(), 2 * page_size());
    assert_eq!(written.expect("write"), 2 * page_size());
    assert_eq!(file.state(), device::state_of(&vec![0; 2 * page_size()]));
    let warnings = log.lines().into_iter().filter(|line| line.contains("GUP"));
    assert_eq!(warnings.collect::<Vec<_>>(), [""; 0]);
}

fn huge_transparent() -> Completion {
    let Some(mut map) = Map::huge(3) else {
        return Completion::ignored_with(NO_HUGE_PAGES);
    };
    // Huge pages of 32 MiB are longer in all than what an ioctl takes.
    let len = map.size().min(MAX_BUFFER as usize);
    let data = reference::noise(len, 93);
    map.bytes()[..len].copy_from_slice(&data);
    assert!(map.smaps("AnonHugePages:") > 0, "no page is huge");
    assert_reads(map.address(), &data);
    // Now one of the huge pages is mapped as small pages.
    map.protect(len / 2..len / 2 + page_size(), ProtFlags::PROT_READ);
    assert_reads(map.address(), &data);
    Completion::Completed
}

fn huge_reserved() {
    const NUMBER: &str = "/proc/sys/vm/nr_hugepages";
    fs::write(NUMBER, "3").expect(NUMBER);
    let len = 3 * 1024 * usage::meminfo("Hugepagesize") as usize;
    let mut map = Map::new_with(len, MapFlags::MAP_HUGETLB);
    let data = reference::noise(len.min(MAX_BUFFER as usize), 94);
    map.bytes()[..data.len()].copy_from_slice(&data);
    assert_reads(map.address(), &data);
    drop(map);
    fs::write(NUMBER, "0").expect(NUMBER);
}

/// The code of the firmware through /dev/mem: the kernel cannot pin such pages.
fn device_memory() -> Completion {
    const FIRMWARE: &str = "000f0000-000fffff : System ROM";
    let memory = fs::read_to_string("/proc/iomem").expect("/proc/iomem");
    if !memory.contains(FIRMWARE) {
        return Completion::ignored_with("/proc/iomem lists no firmware of a PC");
    }
    let path = "/dev/mem";
    let file = File::open(path).expect(path);
    let (mut map, mut data) = ordinary();
    let firmware = 20 * page_size()..20 * page_size() + (64 << 10);
    map.map_file(firmware.clone(), &file, 0xf_0000, MapFlags::MAP_SHARED);
    data[firmware.clone()].copy_from_slice(&map.bytes()[firmware.clone()]);
    assert!(data[firmware.clone()].iter().any(|&byte| byte != 0));
    assert_reads(map.address(), &data);
    assert_reads(map.address() + firmware.start, &data[firmware]);
    Completion::Completed
}

/// Returns the addresses of the mappings with a name in `/proc/self/maps`.
fn mappings_of(name: &str) -> Vec<Range<usize>> {
    let maps = fs::read_to_string("/proc/self/maps").expect("maps");
    let named = maps.lines().filter(|line| line.contains(name));
    let address = |text| usize::from_str_radix(text, 16).expect("hexadecimal");
    named
        .filter_map(|line| line.split_once(' ')?.0.split_once('-'))
        .map(|(start, end)| address(start)..address(end))
        .collect()
}

fn kernel_code_for_programs() {
    let ranges = mappings_of("[vdso]");
    assert_eq!(ranges.len(), 1);
    for Range { start, end } in ranges {
        let code: *const u8 = std::ptr::with_exposed_provenance(start);
        // SAFETY: The kernel has mapped the code to be read, and does not change it.
        let code = unsafe { std::slice::from_raw_parts(code, end - start) };
        assert_reads(start, code);
    }
}

fn kernel_data_for_programs() {
    // The kernel changes the data all the time, and some of the pages may be missing.
    let ranges = mappings_of("[vvar");
    assert!(!ranges.is_empty(), "the kernel maps no data");
    for range in ranges {
        let file = device::private();
        let count = memory::write_from(&file, range.start, range.len());
        let count = count.unwrap_or(0) as u64;
        assert!(count <= range.len() as u64);
        let length = file.state().length;
        assert_eq!(length, count);
        let updated = file.update_from(range.start as u64, range.len() as u64);
        let more = if updated.is_ok() { range.len() } else { 0 };
        assert_eq!(file.state().length, count + more as u64);
    }
}

/// Sets what the calling thread may do with the memory of each key: two bits for a key.
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
fn set_key_rights(rights: u32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: The rights concern memory with a key alone, to which no reference exists.
    unsafe {
        std::arch::asm!("wrpkru", in("eax") rights, in("ecx") 0, in("edx") 0)
    };
}

fn protected_by_a_key() -> Completion {
    if !cfg!(target_arch = "x86_64") {
        return Completion::ignored_with("this test sets the rights of x86-64 processors");
    }
    // The kernel must not read memory for a thread that has denied itself access.
    let (map, data) = ordinary();
    let (address, Range { start, end }) = (map.address(), middle());
    let (key_start, key_len) = (address + start, end - start);
    // SAFETY: The call takes no pointers.
    let key = unsafe { libc::syscall(libc::SYS_pkey_alloc, 0, 0) };
    let key = Errno::result(key).expect("pkey_alloc");
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: The pages are in the mapping, and stay readable until the rights change.
    let status =
        unsafe { libc::syscall(libc::SYS_pkey_mprotect, key_start, key_len, protection, key) };
    Errno::result(status).expect("pkey_mprotect");
    assert_reads(address, &data);

    let file = device::private();
    set_key_rights(0b11 << (2 * key));
    let refused = memory::write_from(&file, key_start, key_len);
    let update_refused = file.update_from(key_start as u64, key_len as u64);
    let cut = memory::write_from(&file, address, map.size());
    set_key_rights(0);
    assert_eq!(refused.errno(), Errno::EFAULT);
    assert_eq!(update_refused.errno(), Errno::EFAULT);
    let count = cut.expect("write");
    assert!((1..=start).contains(&count), "{count} bytes");
    assert_eq!(file.state(), device::state_of(&data[..count]));
    Completion::Completed
}
