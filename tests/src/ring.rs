// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Requests by io_uring(7) on any address.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;
use std::thread;
use std::time::Duration;

use io_uring::opcode;
use io_uring::squeue::Entry;
use io_uring::squeue::Flags;
use io_uring::types::Fd;
use io_uring::types::SubmitArgs;
use io_uring::types::Timespec;
use io_uring::IoUring;

use crate::memory::Map;

/// How long a worker may take to begin.
const MOMENT: Duration = Duration::from_millis(50);

/// A ring.
pub struct Ring {
    ring: IoUring,
    /// How many requests it has been given.
    count: u64,
    null: File,
}

impl Ring {
    pub fn new() -> Self {
        Self {
            ring: IoUring::new(64).expect("io_uring_setup"),
            count: 0,
            null: File::create("/dev/null").expect("open"),
        }
    }

    /// Submits requests, which are numbered from 0 on, and returns when they are under way.
    pub fn start(&mut self, requests: impl IntoIterator<Item = Entry>) {
        self.submit(requests);
        thread::sleep(MOMENT);
        self.nudge();
    }

    fn submit(&mut self, requests: impl IntoIterator<Item = Entry>) {
        for request in requests {
            let request = request.user_data(self.count);
            self.count += 1;
            self.push(&request);
        }
        self.ring.submit().expect("io_uring_enter");
    }

    fn push(&mut self, request: &Entry) {
        // SAFETY: The kernel only reads what addresses point at, and checks them itself. Where it
        // writes, the caller waits for the result.
        unsafe { self.ring.submission().push(request) }.expect("there is room");
    }

    /// Gives the workers a write of nothing to do, which has no result. In Linux 7.2, a worker that
    /// is about to sleep may miss a request until another comes for the same kind of file.
    fn nudge(&mut self) {
        let flags = Flags::ASYNC | Flags::SKIP_SUCCESS;
        let nothing = opcode::Write::new(fd(&self.null), ptr::null(), 0).build();
        self.push(&nothing.flags(flags).user_data(u64::MAX));
        self.ring.submit().expect("io_uring_enter");
    }

    /// Waits for the results of `N` requests, and returns them in the order of the requests.
    pub fn results<const N: usize>(&mut self) -> [io::Result<usize>; N] {
        let moment = Timespec::from(MOMENT);
        let limit = SubmitArgs::new().timespec(&moment);
        while self.ring.completion().len() < N {
            match self.ring.submitter().submit_with_args(N, &limit) {
                Err(error) if error.raw_os_error() == Some(libc::ETIME) => self.nudge(),
                entered => drop(entered.expect("io_uring_enter")),
            }
        }
        let mut results: Vec<_> = self.ring.completion().collect();
        assert_eq!(results.len(), N, "more results than requests");
        results.sort_by_key(|result| result.user_data());
        std::array::from_fn(|number| {
            let result = results[number].result();
            usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
        })
    }

    /// Submits requests and returns their results.
    pub fn run<const N: usize>(&mut self, requests: [Entry; N]) -> [io::Result<usize>; N] {
        self.submit(requests);
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
        unsafe { self.ring.submitter().register_buffers(&[buffer]) }
            .expect("IORING_REGISTER_BUFFERS");
    }

    pub fn unregister(&self) {
        let unregistered = self.ring.submitter().unregister_buffers();
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
