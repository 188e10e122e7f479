// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What users other than root cannot do, and what the kernel must not show to any user.

use std::fs;
use std::fs::File;
use std::io::Write;
use std::mem::size_of;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use adler32::uapi::Digest;
use adler32::uapi::Info;
use adler32::uapi::State;
use adler32::uapi::MAX_BUFFER;
use libtest_mimic::Completion;
use nix::errno::Errno;
use nix::sys::resource;
use nix::sys::resource::Resource;
use nix::sys::sendfile;
use nix::sys::signal;
use nix::sys::signal::SigSet;
use nix::sys::signal::SigmaskHow;
use nix::sys::signal::Signal;
use nix::sys::stat;
use nix::sys::stat::Mode;
use nix::sys::stat::SFlag;
use nix::sys::wait;
use nix::sys::wait::Id;
use nix::sys::wait::WaitPidFlag;
use nix::sys::wait::WaitStatus;
use nix::unistd;

use crate::sharing::receive_file;
use crate::sharing::send_file;
use crate::users::in_namespace;
use adler32_tests::alg::Hash;
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
use adler32_tests::module;
use adler32_tests::module::Log;
use adler32_tests::process;
use adler32_tests::process::as_fresh_user;
use adler32_tests::process::as_user;
use adler32_tests::process::fork;
use adler32_tests::process::fresh_user;
use adler32_tests::process::set_thread_uids;
use adler32_tests::reference;
use adler32_tests::seccomp;
use adler32_tests::trials;
use adler32_tests::ErrnoOf;

trials!(after module::ensure_loaded:
    unprivileged_user_changes_nothing,
    root_of_a_namespace_changes_nothing,
    confined_process_reads_and_writes,
    file_passed_to_another_user,
    fdinfo_is_for_its_user,
    every_size_and_direction,
    ioctls_write_what_they_define,
    refused_ioctls_write_nothing,
    reading_writes_the_text_alone,
    digests_are_four_bytes,
    no_address_is_shown,
    limits_stop_nothing_and_no_signal_comes,
    sessions_are_charged_to_their_group,
);

/// Checks that the calling user cannot do what only root may.
fn assert_changes_nothing(writable: &Path) {
    assert_eq!(module::try_unload().errno(), Errno::EPERM);
    assert_eq!(module::load(module::NAME, "").errno(), Errno::EPERM);
    let node = Path::new(device::NODE);
    let mode = fs::Permissions::from_mode(0o600);
    assert_eq!(fs::set_permissions(node, mode).errno(), Errno::EPERM);
    let owner = unistd::geteuid();
    assert_eq!(unistd::chown(node, Some(owner), None).errno(), Errno::EPERM);
    let removed = fs::remove_file(node).errno();
    assert!(
        [Errno::EACCES, Errno::EPERM].contains(&removed),
        "{removed}"
    );
    let minor = module::misc_minor().expect("an entry in /proc/misc");
    let made = stat::mknod(
        &writable.join("adler32"),
        SFlag::S_IFCHR,
        Mode::all(),
        stat::makedev(10, minor.into()),
    );
    assert_eq!(made.errno(), Errno::EPERM);
    for file in ["uevent", "parameters/implementation"] {
        let path = format!("/sys/module/adler32/{file}");
        let opened = File::options().write(true).open(&path);
        assert_eq!(opened.errno(), Errno::EACCES, "{path}");
        let changed = fs::set_permissions(&path, fs::Permissions::from_mode(0o666));
        assert_eq!(changed.errno(), Errno::EPERM, "{path}");
    }
}

/// Makes a directory to which every user may write.
fn open_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let everybody = fs::Permissions::from_mode(0o777);
    fs::set_permissions(directory.path(), everybody).expect("chmod");
    directory
}

fn unprivileged_user_changes_nothing() {
    let directory = open_directory();
    as_fresh_user(|| {
        assert_changes_nothing(directory.path());
        device::publish(b"abc");
        assert_eq!(device::slot(), device::state_of(b"abc"));
    });
}

fn root_of_a_namespace_changes_nothing() {
    let directory = open_directory();
    in_namespace(fresh_user(), 0, || {
        assert_changes_nothing(directory.path());
        device::publish(b"abc");
        assert_eq!(device::slot(), device::state_of(b"abc"));
    });
}

/// Allows the calling process to read, to write and to exit. Any other call kills it.
fn confine() {
    // SAFETY: The call takes no pointers.
    let status = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_STRICT) };
    assert_eq!(status, 0, "seccomp");
}

/// Ends the calling process as [`confine`] allows.
fn exit_confined(success: bool) {
    // SAFETY: The call takes no pointers, and does not return.
    unsafe { libc::syscall(libc::SYS_exit, i32::from(!success)) };
}

fn confined_process_reads_and_writes() -> Completion {
    if !seccomp::is_supported() {
        return Completion::ignored_with("this kernel has no seccomp");
    }
    let data = reference::noise(1 << 20, 90);
    let text = reference::text(reference::adler(&data));
    let file = device::private();
    fork(|_| {
        let mut buffer = [0; 9];
        confine();
        let written = memory::write_from(&file, data.as_ptr() as usize, data.len());
        let read = memory::read_into(&file, buffer.as_mut_ptr() as usize, buffer.len());
        let right = matches!((written, read), (Ok(len), Ok(9)) if len == data.len());
        exit_confined(right && buffer == text.as_bytes());
    })
    .join();
    assert_eq!(file.text(), text);

    let child = fork(|_| {
        confine();
        exit_confined(file.reset().is_ok());
    });
    let ended = wait::waitid(
        Id::Pid(child.pid()),
        WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT,
    );
    let killed = WaitStatus::Signaled(child.pid(), Signal::SIGKILL, false);
    assert_eq!(ended, Ok(killed), "the ioctl of a confined process");
    assert_eq!(file.text(), text);
    Completion::Completed
}

/// A passed descriptor refers to the same session, which becomes the opener's slot.
fn file_passed_to_another_user() {
    let (opener, receiver) = (fresh_user(), fresh_user());
    let (left, right) = UnixStream::pair().expect("a socket pair");
    let file = as_user(opener, device::replace);
    let child = fork(|_| {
        set_thread_uids(receiver.into(), receiver.into(), receiver.into());
        let file = receive_file(&right);
        file.write_whole(b"abc");
        assert_eq!(device::slot(), EMPTY);
        // Opening the file through /proc makes a new session.
        nix::sys::prctl::set_dumpable(true).expect("prctl");
        let own = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).expect("open");
        assert_eq!(own.state(), EMPTY);
    });
    send_file(&left, &file);
    child.join();
    assert_eq!(file.state(), device::state_of(b"abc"));
    drop(file);
    assert_eq!(as_user(opener, device::slot), device::state_of(b"abc"));
    assert_eq!(as_user(receiver, device::slot), EMPTY);
}

fn fdinfo_is_for_its_user() {
    let file = device::private();
    file.write_whole(b"abc");
    let path = format!("/proc/{}/fdinfo/{}", std::process::id(), file.as_raw_fd());
    assert!(fs::read_to_string(&path)
        .expect("fdinfo")
        .contains("024d0127"));
    // Another user may not read the fdinfo of this process.
    fork(|_| {
        let user = fresh_user().into();
        set_thread_uids(user, user, user);
        assert_eq!(fs::read_to_string(&path).errno(), Errno::EACCES);
    })
    .join();
}

/// A byte that the kernel writes in none of these tests.
const FILL: u8 = 0xAA;

/// Returns a page in which every byte is [`FILL`].
fn filled() -> Map {
    let mut map = Map::new(page_size());
    map.bytes().fill(FILL);
    map
}

#[track_caller]
fn assert_filled(bytes: &[u8]) {
    assert!(bytes.iter().all(|&byte| byte == FILL), "{bytes:x?}");
}

/// Tries all 65,536 combinations of size and direction for each known number.
fn every_size_and_direction() {
    let file = device::private();
    file.write_whole(b"abc");
    let mut map = filled();
    for request in REQUESTS {
        for upper in 0..=0xffff {
            let hostile = upper << 16 | request & 0xffff;
            if hostile != request {
                let refused = file.ioctl(hostile, map.address()).errno();
                assert_eq!(refused, Errno::ENOTTY, "{hostile:#x}");
            }
        }
    }
    assert_filled(map.bytes());
    assert_eq!(file.state(), device::state_of(b"abc"));
}

fn ioctls_write_what_they_define() {
    let file = device::private();
    file.write_whole(b"abc");

    let mut map = filled();
    file.ioctl(GET, map.address()).expect("GET");
    assert_eq!(map.get::<State>(0), device::state_of(b"abc"));
    assert_filled(&map.bytes()[size_of::<State>()..]);

    let mut map = filled();
    file.ioctl(INFO, map.address()).expect("INFO");
    let info: Info = map.get(0);
    assert_eq!(info.reserved, 0);
    device::text_of(&info.implementation);
    device::text_of(&info.module_version);
    assert_filled(&map.bytes()[size_of::<Info>()..]);

    let mut map = filled();
    let digest = device::digest_of(b"abc");
    map.put(0, digest);
    file.ioctl(DIGEST, map.address()).expect("DIGEST");
    let value = 0x024d_0127;
    assert_eq!(map.get::<Digest>(0), Digest { value, ..digest });
    assert_filled(&map.bytes()[size_of::<Digest>()..]);

    let mut map = filled();
    // For UPDATE, this is a buffer of 0 bytes.
    map.put(0, EMPTY);
    for request in [SET, COMBINE, UPDATE, RESET] {
        file.ioctl(request, map.address())
            .unwrap_or_else(|error| panic!("{request:#x}: {error}"));
        assert_eq!(map.get::<State>(0), EMPTY, "{request:#x}");
        assert_filled(&map.bytes()[size_of::<State>()..]);
    }
}

/// A failed DIGEST does not reveal the checksum of the data before the failure.
fn refused_ioctls_write_nothing() {
    let file = device::private();
    let mut map = filled();
    let data = reference::noise(100_000, 92);
    let (before_hole, offset) = Map::before_hole(&data);
    let start = (before_hole.address() + offset) as u64;
    let too_far = data.len() as u64 + 1;
    for (address, length, expected) in [
        (1, 1, Errno::EFAULT),
        (u64::MAX, 2, Errno::EFAULT),
        (start, u64::MAX, Errno::EINVAL),
        (start, MAX_BUFFER, Errno::EFAULT),
        (start, too_far, Errno::EFAULT),
    ] {
        let refused = Digest {
            address,
            length,
            value: 1,
            reserved: 0,
        };
        map.put(0, refused);
        let errno = file.ioctl(DIGEST, map.address()).errno();
        assert_eq!(errno, expected, "{refused:?}");
        assert_eq!(map.get::<Digest>(0), refused);
        assert_filled(&map.bytes()[size_of::<Digest>()..]);
    }
}

fn reading_writes_the_text_alone() {
    let file = device::private();
    file.write_whole(b"abc");
    for room in [1, 8, 9, 10, page_size()] {
        let mut map = filled();
        let len = room.min(9);
        let read = file.read_at(&mut map.bytes()[..room], 0);
        assert_eq!(read.expect("pread"), len);
        assert_eq!(map.bytes()[..len], b"024d0127\n"[..len]);
        assert_filled(&map.bytes()[len..]);
    }
}

fn digests_are_four_bytes() {
    let operation = Hash::adler32().accept();
    operation.send(b"abc").expect("send");
    let mut map = filled();
    let len = memory::read_into(&operation, map.address(), page_size());
    assert_eq!(len.expect("read"), 4);
    assert_eq!(map.bytes()[..4], [0x02, 0x4d, 0x01, 0x27]);
    assert_filled(&map.bytes()[4..]);
}

/// Fails if `text` contains a number with more digits than a checksum, as addresses have.
#[track_caller]
fn assert_no_address(what: &str, text: &str) {
    let longest = text
        .split(|char: char| !char.is_ascii_hexdigit())
        .find(|digits| digits.len() > 8);
    assert_eq!(longest, None, "{what}: {text}");
}

/// Calls `check` with the path and the text of each file below `directory` that the caller can
/// read.
fn each_file(directory: &Path, check: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        match fs::symlink_metadata(&path) {
            Ok(about) if about.is_dir() => each_file(&path, check),
            Ok(about) if about.is_file() => {
                if let Ok(text) = fs::read(&path) {
                    check(&path, &String::from_utf8_lossy(&text));
                }
            }
            _ => {}
        }
    }
}

fn no_address_is_shown() {
    module::unload();
    let mut log = Log::from_now();
    for parameters in ["mode=01", "implementation=fast"] {
        assert_eq!(
            module::load(module::NAME, parameters).errno(),
            Errno::EINVAL
        );
    }
    module::ensure_loaded();
    as_fresh_user(|| {
        let file = device::private();
        file.write_whole(b"abc");
        let _ = file.update_from(0xffff_8880_0000_0000, 1);
        let path = format!("/proc/thread-self/fdinfo/{}", file.as_raw_fd());
        let fdinfo = fs::read_to_string(path).expect("fdinfo");
        assert!(fdinfo.contains("adler32-value"), "{fdinfo}");
        assert_no_address("fdinfo", &fdinfo);

        let entry = module::crypto_entry(module::DRIVER).expect("an entry in /proc/crypto");
        assert_no_address("/proc/crypto", &format!("{entry:?}"));

        let mut seen = 0;
        for directory in ["/sys/module/adler32", "/sys/class/misc/adler32/"] {
            each_file(Path::new(directory), &mut |path, text| {
                seen += 1;
                // A hash of the source code, which modinfo shows, too.
                if !path.ends_with("srcversion") {
                    assert_no_address(&path.display().to_string(), text);
                }
            });
        }
        assert!(seen > 10, "{seen} files in sysfs");
        // The addresses of the module in memory. Some kernels do not have the file.
        let section = fs::read_to_string("/sys/module/adler32/sections/.text").errno();
        assert!(
            [Errno::EACCES, Errno::ENOENT].contains(&section),
            "{section}"
        );
    });
    let lines = log.of_module();
    assert!(lines.len() >= 3, "{lines:#?}");
    for line in lines {
        assert_no_address("the log", &line);
    }
}

/// The pages that a write pins do not count as locked memory, nor the device as a file that grows.
fn limits_stop_nothing_and_no_signal_comes() {
    let data = reference::noise(1 << 20, 91);
    let mut source = tempfile::tempfile().expect("a temporary file");
    source.write_all(&data).expect("write");
    fork(|_| {
        let user = fresh_user().into();
        set_thread_uids(user, user, user);
        for limit in [Resource::RLIMIT_MEMLOCK, Resource::RLIMIT_FSIZE] {
            resource::setrlimit(limit, 0, 0).expect("setrlimit");
        }
        signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)
            .expect("sigprocmask");
        let file = device::private();
        file.write_whole(&data);
        file.update(&data).expect("UPDATE");
        let sent = sendfile::sendfile(&file, &source, Some(&mut 0), data.len());
        assert_eq!(sent, Ok(data.len()));
        let all = [&data[..]; 3].concat();
        assert_eq!(file.state(), device::state_of(&all));
        assert_eq!(memory::write_from(&file, 1, 1).errno(), Errno::EFAULT);
        assert_eq!(pending(), SigSet::empty());
    })
    .join();
}

/// Returns the signals that are pending for the calling thread.
fn pending() -> SigSet {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: The pointer is valid for a write of a set.
    let status = unsafe { libc::sigpending(set.as_mut_ptr()) };
    assert_eq!(status, 0, "sigpending");
    // SAFETY: The call has written the set.
    unsafe { SigSet::from_sigset_t_unchecked(set.assume_init()) }
}

/// A control group for memory, which is removed when this is dropped.
struct ControlGroup(&'static Path);

impl ControlGroup {
    fn new() -> Self {
        let group = Path::new("/sys/fs/cgroup/adler32-test");
        fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory").expect("subtree_control");
        fs::create_dir(group).expect("mkdir");
        Self(group)
    }

    /// Moves the calling process to this group.
    fn join(&self) {
        fs::write(self.0.join("cgroup.procs"), "0").expect("cgroup.procs");
    }

    /// Returns how many bytes of memory are charged to this group.
    fn charged(&self) -> i64 {
        let text = fs::read_to_string(self.0.join("memory.current")).expect("memory.current");
        text.trim().parse().expect("a number")
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // The group is still in use for a moment after its last process was reaped.
        process::eventually("the group is removed", || fs::remove_dir(self.0).is_ok());
    }
}

fn sessions_are_charged_to_their_group() -> Completion {
    const FILES: u64 = 20_000;
    // A session takes 96 bytes. The kernel charges a group 64 pages at a time on each processor, so
    // that the last ones may not be charged yet.
    const SESSION: i64 = 64;

    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    if !controllers.contains("memory") {
        return Completion::ignored_with("this kernel has no control groups for memory");
    }
    let charge = |open: fn() -> File| {
        let group = ControlGroup::new();
        let mut child = fork(|link| {
            group.join();
            resource::setrlimit(Resource::RLIMIT_NOFILE, 2 * FILES, 2 * FILES).expect("setrlimit");
            let _files: Vec<_> = (0..FILES).map(|_| open()).collect();
            link.notify();
            link.wait();
        });
        child.link().wait();
        let charged = group.charged();
        child.link().notify();
        child.join();
        charged
    };
    let others = charge(|| File::open("/dev/null").expect("/dev/null"));
    let sessions = charge(device::private) - others;
    assert!(
        sessions >= FILES as i64 * SESSION,
        "{sessions} bytes for {FILES} sessions, not counting {others} for as many open files"
    );
    Completion::Completed
}
