// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Requests by io_uring(7) on any address.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;

use io_uring::opcode;
use io_uring::squeue::Entry;
use io_uring::squeue::Flags;
use io_uring::types::Fd;
use io_uring::IoUring;

use super::memory::Map;

/// A ring, and how many requests it has been given.
pub struct Ring(IoUring, u64);

impl Ring {
    pub fn new() -> Self {
        Self(IoUring::new(64).expect("io_uring_setup"), 0)
    }

    /// Submits requests, which are numbered from 0 on, and waits for none of them.
    pub fn start(&mut self, requests: impl IntoIterator<Item = Entry>) {
        for request in requests {
            let request = request.user_data(self.1);
            self.1 += 1;
            // SAFETY: The kernel only reads what addresses point at, and checks them itself. Where
            // it writes, the caller waits for the result.
            unsafe { self.0.submission().push(&request) }.expect("there is room");
        }
        self.0.submit().expect("io_uring_enter");
    }

    /// Waits for the results of `N` requests, and returns them in the order of the requests.
    pub fn results<const N: usize>(&mut self) -> [io::Result<usize>; N] {
        while self.0.completion().len() < N {
            self.0.submit_and_wait(N).expect("io_uring_enter");
        }
        let mut results: Vec<_> = self.0.completion().collect();
        assert_eq!(results.len(), N, "more results than requests");
        results.sort_by_key(|result| result.user_data());
        std::array::from_fn(|number| {
            let result = results[number].result();
            usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
        })
    }

    /// Submits requests and returns their results.
    pub fn run<const N: usize>(&mut self, requests: [Entry; N]) -> [io::Result<usize>; N] {
        self.start(requests);
        self.results()
    }

    /// Runs a single request.
    pub fn run_one(&mut self, request: Entry) -> io::Result<usize> {
        let [result] = self.run([request]);
        result
    }

    /// Registers all of `map` as buffer 0, for [`write_fixed`].
    pub fn register(&self, map: &Map) {
        let buffer = libc::iovec {
            iov_base: ptr::with_exposed_provenance_mut(map.address()),
            iov_len: map.len(),
        };
        // SAFETY: The kernel only reads the buffer, and keeps its pages.
        unsafe { self.0.submitter().register_buffers(&[buffer]) }.expect("IORING_REGISTER_BUFFERS");
    }

    pub fn unregister(&self) {
        let unregistered = self.0.submitter().unregister_buffers();
        unregistered.expect("IORING_UNREGISTER_BUFFERS");
    }
}

fn fd(file: &impl AsRawFd) -> Fd {
    Fd(file.as_raw_fd())
}

/// `IORING_OP_WRITE` at the file's own position.
pub fn write(file: &File, address: usize, len: usize) -> Entry {
    opcode::Write::new(fd(file), address as *const u8, len as u32)
        .offset(u64::MAX)
        .build()
}

/// `IORING_OP_WRITEV`. The pieces must live until the result is there.
pub fn writev(file: &File, pieces: &[libc::iovec]) -> Entry {
    opcode::Writev::new(fd(file), pieces.as_ptr(), pieces.len() as u32).build()
}

/// `IORING_OP_WRITE_FIXED` of memory in buffer 0.
pub fn write_fixed(file: &File, address: usize, len: usize) -> Entry {
    opcode::WriteFixed::new(fd(file), address as *const u8, len as u32, 0).build()
}

/// `IORING_OP_READ` from position 0. The buffer must live until the result is there.
pub fn read(file: &File, buffer: &mut [u8]) -> Entry {
    opcode::Read::new(fd(file), buffer.as_mut_ptr(), buffer.len() as u32).build()
}

/// `IORING_OP_SPLICE`, from a position or where the source is.
pub fn splice(from: &impl AsRawFd, offset: Option<usize>, to: &impl AsRawFd, len: usize) -> Entry {
    let offset = offset.map_or(-1, |offset| offset as i64);
    opcode::Splice::new(fd(from), offset, fd(to), -1, len as u32).build()
}

/// `IORING_OP_ASYNC_CANCEL` of the request with a number.
pub fn cancel(number: u64) -> Entry {
    opcode::AsyncCancel::new(number).build()
}

/// Lets the next request wait for this one, and fail with it.
pub fn linked(request: Entry) -> Entry {
    request.flags(Flags::IO_LINK)
}
