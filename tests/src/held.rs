// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Memory with a missing page, at which a reader stops for as long as a test wants: userfaultfd(2).

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;

use libc::Ioctl;
use nix::errno::Errno;
use nix::poll::PollFd;
use nix::poll::PollFlags;

use crate::memory::page_size;
use crate::memory::Map;

const UFFD_API: u64 = 0xAA;
const UFFDIO_API: Ioctl = libc::_IOWR::<Api>(0xAA, 0x3F);
const UFFDIO_REGISTER: Ioctl = libc::_IOWR::<Register>(0xAA, 0x00);
const UFFDIO_COPY: Ioctl = libc::_IOWR::<Copy>(0xAA, 0x03);
const UFFDIO_REGISTER_MODE_MISSING: u64 = 1;

#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct Register {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

#[repr(C)]
struct Copy {
    target: u64,
    source: u64,
    len: u64,
    mode: u64,
    copied: i64,
}

/// Data in memory of which one page is missing until the result of [`Held::wait`] is dropped. A
/// thread that reads the page waits for it.
pub struct Held {
    map: Map,
    len: usize,
    missing: usize,
    content: Vec<u8>,
    faults: File,
}

impl Held {
    /// Maps `data` and withholds its page number `page`.
    pub fn new(data: &[u8], page: usize) -> Self {
        let mut map = Map::new(data.len());
        map.bytes()[..data.len()].copy_from_slice(data);
        let missing = page * page_size();
        let content = map.bytes()[missing..missing + page_size()].to_vec();
        map.discard(missing..missing + page_size());

        // SAFETY: The call takes no pointers.
        let fd =
            unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK) };
        let fd = Errno::result(fd).expect("userfaultfd") as i32;
        // SAFETY: userfaultfd() has just opened the descriptor, and nothing else owns it.
        let faults = unsafe { File::from_raw_fd(fd) };
        let held = Self {
            len: data.len(),
            missing,
            content,
            faults,
            map,
        };
        held.ioctl(
            UFFDIO_API,
            &mut Api {
                api: UFFD_API,
                features: 0,
                ioctls: 0,
            },
        );
        held.ioctl(
            UFFDIO_REGISTER,
            &mut Register {
                start: held.missing_address(),
                len: page_size() as u64,
                mode: UFFDIO_REGISTER_MODE_MISSING,
                ioctls: 0,
            },
        );
        held
    }

    pub fn map(&self) -> &Map {
        &self.map
    }

    pub fn address(&self) -> usize {
        self.map.address()
    }

    /// Returns the length of the data.
    pub fn size(&self) -> usize {
        self.len
    }

    /// Waits until a thread reads the missing page. The thread continues when the result is
    /// dropped.
    pub fn wait(&self) -> Stopped<'_> {
        let mut polled = [PollFd::new(self.faults.as_fd(), PollFlags::POLLIN)];
        let ready = nix::poll::poll(&mut polled, 10_000_u16).expect("poll");
        assert_eq!(ready, 1, "no thread has read the missing page");
        let mut message = [0; 32];
        let len = (&self.faults).read(&mut message).expect("a fault");
        assert_eq!(len, message.len());
        Stopped(self)
    }

    /// Supplies the missing page.
    fn release(&self) {
        self.ioctl(
            UFFDIO_COPY,
            &mut Copy {
                target: self.missing_address(),
                source: self.content.as_ptr() as u64,
                len: page_size() as u64,
                mode: 0,
                copied: 0,
            },
        );
    }

    fn missing_address(&self) -> u64 {
        (self.map.address() + self.missing) as u64
    }

    #[track_caller]
    fn ioctl<T>(&self, request: Ioctl, argument: &mut T) {
        // SAFETY: Each caller passes the structure that belongs to the request.
        let status = unsafe { libc::ioctl(self.faults.as_raw_fd(), request, argument) };
        Errno::result(status).expect("userfaultfd ioctl");
    }
}

/// A thread waits for the missing page until this is dropped.
pub struct Stopped<'a>(&'a Held);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}
