// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `/dev/adler32` through system calls, with nothing of the library adler32 in between.

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use adler32::uapi;
use adler32::uapi::Buffer;
use adler32::uapi::Digest;
use adler32::uapi::Info;
use adler32::uapi::State;
use libc::c_int;
use libc::Ioctl;
use nix::fcntl;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::memory;
use crate::module;
use crate::process;
use crate::reference;

/// The path of the device.
pub const NODE: &str = "/dev/adler32";

const TYPE: u32 = uapi::IOC_TYPE as u32;
pub const RESET: Ioctl = libc::_IO(TYPE, uapi::NR_RESET as u32);
pub const GET: Ioctl = libc::_IOR::<State>(TYPE, uapi::NR_GET as u32);
pub const SET: Ioctl = libc::_IOW::<State>(TYPE, uapi::NR_SET as u32);
pub const UPDATE: Ioctl = libc::_IOW::<Buffer>(TYPE, uapi::NR_UPDATE as u32);
pub const DIGEST: Ioctl = libc::_IOWR::<Digest>(TYPE, uapi::NR_DIGEST as u32);
pub const COMBINE: Ioctl = libc::_IOW::<State>(TYPE, uapi::NR_COMBINE as u32);
pub const INFO: Ioctl = libc::_IOR::<Info>(TYPE, uapi::NR_INFO as u32);

/// All ioctl requests of the device.
pub const REQUESTS: [Ioctl; 7] = [RESET, GET, SET, UPDATE, DIGEST, COMBINE, INFO];

/// The state of an empty session.
pub const EMPTY: State = state(1, 0);

/// Returns the state of a session of `length` bytes.
pub const fn state(value: u32, length: u64) -> State {
    State {
        value,
        reserved: 0,
        length,
    }
}

/// Returns the state of a session of `data`.
pub fn state_of(data: &[u8]) -> State {
    state(reference::adler(data), data.len() as u64)
}

/// Returns the argument of a DIGEST of `data` from the start value 1.
pub fn digest_of(data: &[u8]) -> Digest {
    Digest {
        address: data.as_ptr() as u64,
        length: data.len() as u64,
        value: 1,
        reserved: 0,
    }
}

/// Opens the device with exactly these flags.
pub fn open(flags: c_int) -> io::Result<File> {
    let flags = OFlag::from_bits_retain(flags | libc::O_CLOEXEC);
    Ok(fcntl::open(NODE, flags, Mode::empty())?.into())
}

#[track_caller]
fn must_open(flags: c_int) -> File {
    open(flags).unwrap_or_else(|error| panic!("open({NODE}, {flags:#x}): {error}"))
}

/// Opens as `>` does: an empty session, which becomes the caller's slot.
#[track_caller]
pub fn replace() -> File {
    must_open(libc::O_WRONLY)
}

/// Opens as `>>` does: a session that continues the caller's slot.
#[track_caller]
pub fn append() -> File {
    must_open(libc::O_WRONLY | libc::O_APPEND)
}

/// Opens as `<` does: a view of the caller's slot.
#[track_caller]
pub fn view() -> File {
    must_open(libc::O_RDONLY)
}

/// Opens as `<>` does: an empty session, private to the file.
#[track_caller]
pub fn private() -> File {
    must_open(libc::O_RDWR)
}

/// Returns the caller's slot.
#[track_caller]
pub fn slot() -> State {
    view().state()
}

/// Makes the checksum of `data` the caller's slot.
#[track_caller]
pub fn publish(data: &[u8]) {
    replace().write_whole(data);
}

/// The system calls on an open device.
pub trait Device: AsFd + AsRawFd + FileExt {
    /// Calls `ioctl(2)` with any request and argument.
    fn ioctl(&self, request: Ioctl, argument: usize) -> io::Result<()> {
        // SAFETY: Callers pass memory that holds nothing else, or that does not exist.
        match unsafe { libc::ioctl(self.as_raw_fd(), request, argument) } {
            0 => Ok(()),
            -1 => Err(io::Error::last_os_error()),
            other => panic!("ioctl {request:#x} returned {other}"),
        }
    }

    /// Empties the session: RESET.
    fn reset(&self) -> io::Result<()> {
        self.ioctl(RESET, 0)
    }

    /// Returns the state of the session: GET.
    fn get(&self) -> io::Result<State> {
        // The kernel must overwrite all of this.
        let mut state = State {
            value: 0xdead_beef,
            reserved: 0xdead_beef,
            length: 0xdead_beef,
        };
        self.ioctl(GET, &raw mut state as usize)?;
        assert_eq!(state.reserved, 0, "GET clears the reserved member");
        Ok(state)
    }

    /// Returns the state of the session. GET must succeed.
    #[track_caller]
    fn state(&self) -> State {
        self.get().expect("GET")
    }

    /// Replaces the state of the session: SET.
    fn set(&self, state: State) -> io::Result<()> {
        self.ioctl(SET, &raw const state as usize)
    }

    /// Continues the session over data: UPDATE.
    fn update(&self, data: &[u8]) -> io::Result<()> {
        self.update_from(data.as_ptr() as u64, data.len() as u64)
    }

    /// Calls UPDATE with any address.
    fn update_from(&self, address: u64, length: u64) -> io::Result<()> {
        let buffer = Buffer { address, length };
        self.ioctl(UPDATE, &raw const buffer as usize)
    }

    /// Continues the checksum `start` over data, without the session: DIGEST.
    fn digest(&self, start: u32, data: &[u8]) -> io::Result<u32> {
        self.digest_from(start, data.as_ptr() as u64, data.len() as u64)
    }

    /// Calls DIGEST with any address.
    fn digest_from(&self, start: u32, address: u64, length: u64) -> io::Result<u32> {
        let mut digest = Digest {
            address,
            length,
            value: start,
            reserved: 0,
        };
        self.ioctl(DIGEST, &raw mut digest as usize)?;
        Ok(digest.value)
    }

    /// Appends the checksum of a part that follows: COMBINE.
    fn combine(&self, part: State) -> io::Result<()> {
        self.ioctl(COMBINE, &raw const part as usize)
    }

    /// Describes the module: INFO.
    fn info(&self) -> io::Result<Info> {
        let mut info = Info {
            abi_version: !0,
            reserved: !0,
            implementation: [0xff; 24],
            module_version: [0xff; 24],
        };
        self.ioctl(INFO, &raw mut info as usize)?;
        Ok(info)
    }

    /// Writes `data` in one call, which must take all of it.
    #[track_caller]
    fn write_whole(&self, data: &[u8]) {
        let written = memory::write_from(self.as_fd(), data.as_ptr() as usize, data.len());
        assert_eq!(
            written.expect("write"),
            data.len(),
            "a write is consumed whole"
        );
    }

    /// Reads the text at position 0, without a change to the position of the file.
    #[track_caller]
    fn text(&self) -> String {
        let mut buffer = [0; 64];
        let len = self.read_at(&mut buffer, 0).expect("pread");
        String::from_utf8_lossy(&buffer[..len]).into_owned()
    }

    /// Returns the module's lines in the fdinfo of the file, by their keys without `adler32-`.
    fn fdinfo(&self) -> BTreeMap<String, String> {
        fdinfo_of("self", self.as_raw_fd())
    }
}

impl Device for File {}

fn fdinfo_of(process: &str, fd: c_int) -> BTreeMap<String, String> {
    let path = format!("/proc/{process}/fdinfo/{fd}");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines()
        .filter_map(|line| line.strip_prefix("adler32-")?.split_once(":\t"))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Returns the state of a session from the fdinfo of a file of a process.
pub fn fdinfo_state(process: &str, fd: c_int) -> State {
    let fields = fdinfo_of(process, fd);
    state(
        u32::from_str_radix(&fields["value"], 16).expect("hexadecimal"),
        fields["length"].parse().expect("a number"),
    )
}

/// Returns the text of a member of [`Info`], which ends with NULs alone.
#[track_caller]
pub fn text_of(member: &[u8]) -> String {
    let text = String::from_utf8_lossy(member);
    let text = text.trim_end_matches('\0');
    assert!(text.is_ascii() && text.len() < member.len(), "{member:x?}");
    assert!(!text.contains('\0'), "{member:x?}");
    text.to_owned()
}

/// Reads the text from the position of the file to its end.
#[track_caller]
pub fn read_rest(mut file: &File) -> String {
    let mut text = String::new();
    file.read_to_string(&mut text).expect("read");
    text
}

/// Runs `work` on a session of "abc" in a child, and kills the child once `under_way` returns true
/// for its process ID and its file. Returns the slot, which the session has become.
#[track_caller]
pub fn kill_during(work: impl FnOnce(&File), under_way: impl Fn(&str, c_int) -> bool) -> State {
    publish(b"");
    let file = replace();
    let fd = file.as_raw_fd();
    file.write_whole(b"abc");
    let child = process::fork(|_| work(&file));
    drop(file);
    let pid = child.pid().to_string();
    process::eventually("the call is under way", || under_way(&pid, fd));
    child.kill_promptly();
    assert_eq!(module::refcount(), Some(0));
    slot()
}
