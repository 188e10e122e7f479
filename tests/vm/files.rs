// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Other calls on an open file, such as fdinfo and poll, and the usual commands.

use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::sys::epoll::Epoll;
use nix::sys::epoll::EpollCreateFlags;
use nix::sys::epoll::EpollEvent;
use nix::sys::epoll::EpollFlags;
use nix::sys::mman;
use nix::sys::mman::MapFlags;
use nix::sys::mman::ProtFlags;

use adler32_tests::device;
use adler32_tests::device::Device;
use adler32_tests::memory::page_size;
use adler32_tests::module;
use adler32_tests::reference;
use adler32_tests::sh;
use adler32_tests::trials;
use adler32_tests::ErrnoOf;

trials!(after module::ensure_loaded:
    fdinfo_in_every_mode,
    fdinfo_follows_the_session,
    poll_is_always_ready,
    epoll_refuses_as_for_a_regular_file,
    mmap_is_refused,
    shell_redirections,
    shell_private_form,
    usual_commands,
    python_reads_and_writes,
);

fn fdinfo_in_every_mode() {
    let info = device::view().info().expect("INFO");
    let implementation = device::text_of(&info.implementation);
    for (flags, mode, value) in [
        (libc::O_RDONLY, "view", None),
        (libc::O_WRONLY, "replace", Some("00000001")),
        (libc::O_WRONLY | libc::O_APPEND, "append", Some("024d0127")),
        (libc::O_RDWR, "private", Some("00000001")),
        (libc::O_RDWR | libc::O_APPEND, "private", Some("00000001")),
        (libc::O_ACCMODE, "ioctl", Some("00000001")),
    ] {
        device::publish(b"abc");
        let file = device::open(flags).expect("open");
        let fields = file.fdinfo();
        assert_eq!(fields["mode"], mode);
        assert_eq!(fields["implementation"], implementation);
        if let Some(value) = value {
            assert_eq!(fields["value"], value, "{mode}");
        }
        assert_eq!(fields.len(), 4, "{fields:?}");
    }
}

fn fdinfo_follows_the_session() {
    let data = reference::noise(1000, 20);
    let file = device::private();
    for end in [1, 10, 999, 1000] {
        file.reset().expect("RESET");
        file.write_whole(&data[..end]);
        let shown = device::fdinfo_state("self", file.as_raw_fd());
        assert_eq!(shown, device::state_of(&data[..end]));
    }
    file.set(device::state(5, i64::MAX as u64)).expect("SET");
    assert_eq!(file.fdinfo()["length"], "9223372036854775807");
    assert_eq!(file.fdinfo()["value"], "00000005");

    device::publish(&data);
    let view = device::view();
    assert_eq!(
        device::read_rest(&view),
        reference::text(reference::adler(&data))
    );
    let shown = device::fdinfo_state("self", view.as_raw_fd());
    assert_eq!(shown, device::state_of(&data));
}

fn poll_is_always_ready() {
    let ready =
        PollFlags::POLLIN | PollFlags::POLLRDNORM | PollFlags::POLLOUT | PollFlags::POLLWRNORM;
    for file in [device::private(), device::view(), device::replace()] {
        let mut polled = [PollFd::new(file.as_fd(), ready | PollFlags::POLLPRI)];
        assert_eq!(nix::poll::poll(&mut polled, 0_u8).expect("poll"), 1);
        assert_eq!(polled[0].revents(), Some(ready));
    }
}

fn epoll_refuses_as_for_a_regular_file() {
    let file = device::private();
    let epoll = Epoll::new(EpollCreateFlags::empty()).expect("epoll");
    let event = EpollEvent::new(EpollFlags::EPOLLIN, 0);
    assert_eq!(epoll.add(&file, event).errno(), Errno::EPERM);
}

fn mmap_is_refused() {
    let page = NonZeroUsize::new(page_size()).expect("not zero");
    let file = device::private();
    for flags in [MapFlags::MAP_SHARED, MapFlags::MAP_PRIVATE] {
        for protection in [ProtFlags::PROT_READ, ProtFlags::PROT_WRITE] {
            // SAFETY: The kernel chooses an address that is free.
            let mapped = unsafe { mman::mmap(None, page, protection, flags, &file, 0) };
            assert_eq!(mapped.errno(), Errno::ENODEV);
        }
    }
}

/// Runs a script in a directory with the files `a` (70,001 bytes), `b` (3 bytes) and `ab` (both).
fn script(shell: &str, line: &str) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = reference::noise(70_001, 26);
    for (name, content) in [
        ("a", &data[..]),
        ("b", b"xyz"),
        ("ab", &[&data, &b"xyz"[..]].concat()),
    ] {
        std::fs::write(directory.path().join(name), content).expect("write");
    }
    let path = directory.path().display();
    sh(&format!("cd {path} && {shell} -euc '{line}'"))
}

fn expected_of_ab() -> String {
    let mut data = reference::noise(70_001, 26);
    data.extend_from_slice(b"xyz");
    reference::text(reference::adler(&data))
}

fn shell_redirections() {
    for shell in ["dash", "bash"] {
        assert_eq!(
            script(shell, "cat ab > /dev/adler32; cat /dev/adler32"),
            expected_of_ab()
        );
        let line = "cat a > /dev/adler32; cat b >> /dev/adler32; cat /dev/adler32";
        assert_eq!(script(shell, line), expected_of_ab());
        let line = "cat a > /dev/adler32; : > /dev/adler32; cat /dev/adler32";
        assert_eq!(script(shell, line), "00000001\n");
        let line = "{ cat a; cat b; } > /dev/adler32; read sum < /dev/adler32; echo $sum";
        assert_eq!(script(shell, line), expected_of_ab());
        let line = "set -C; cat ab > /dev/adler32; cat /dev/adler32";
        assert_eq!(script(shell, line), expected_of_ab(), "noclobber");
    }
}

fn shell_private_form() {
    for shell in ["dash", "bash"] {
        let line = "cat b > /dev/adler32; exec 3<>/dev/adler32; cat a >&3; cat b >&3; \
                    read sum <&3; echo $sum; exec 3>&-; cat /dev/adler32";
        let expected = expected_of_ab() + &reference::text(reference::adler(b"xyz"));
        assert_eq!(script(shell, line), expected);
    }
}

fn usual_commands() {
    for line in [
        "dd if=ab of=/dev/adler32 bs=777 status=none",
        "dd if=ab of=/dev/adler32 bs=1M conv=notrunc status=none",
        "tee /dev/adler32 < ab > /dev/null",
        "cp ab /dev/adler32",
        "cat a b | cat > /dev/adler32",
        "head -c 1 ab > /dev/adler32; tail -c +2 ab >> /dev/adler32",
    ] {
        let line = format!("{line}; cat /dev/adler32");
        assert_eq!(script("bash", &line), expected_of_ab(), "{line}");
    }
    let od = script("bash", "cat ab > /dev/adler32; od -An -c /dev/adler32");
    assert_eq!(od.split_whitespace().count(), 9, "{od}");
    assert_eq!(script("bash", "wc -c < /dev/adler32"), "9\n");
}

fn python_reads_and_writes() {
    let line = r#"python3 -c "
import zlib
data = open(\"ab\", \"rb\").read()
with open(\"/dev/adler32\", \"wb\") as f: f.write(data)
print(open(\"/dev/adler32\").read(), end=\"\")
with open(\"/dev/adler32\", \"r+b\", buffering=0) as f:
    f.write(data)
    assert f.read() == b\"%08x\n\" % zlib.adler32(data)
    f.write(data)
    assert f.read() == b\"%08x\n\" % zlib.adler32(data + data)
""#;
    assert_eq!(script("bash", line), expected_of_ab());
}
