// SPDX-License-Identifier: GPL-2.0 OR MIT

//! An io_uring(7), and requests with any address.

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

use crate::memory;
use crate::memory::Map;

/// How long a worker thread of the kernel may take to start a request.
const MOMENT: Duration = Duration::from_millis(50);

/// The offset that means the position of the file.
const CURRENT: u64 = u64::MAX;

/// A ring, with the numbers of its requests.
pub struct Ring {
    ring: IoUring,
    /// The number of the next request.
    count: u64,
    null: File,
}

impl Ring {
    /// Makes a ring.
    pub fn open() -> Self {
        Self {
            ring: IoUring::new(64).expect("io_uring_setup"),
            count: 0,
            null: File::create("/dev/null").expect("open"),
        }
    }

    /// Submits requests, which are numbered from 0, and returns when the kernel works on them.
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
        // SAFETY: The kernel checks the addresses. It only reads the memory, except for the buffers
        // of reads, which live until the caller has the results.
        unsafe { self.ring.submission().push(request) }.expect("room for a request");
    }

    /// Submits an empty write, which returns no result. In Linux 7.2, a worker thread that is about
    /// to sleep may miss a request until another request for the same kind of file comes.
    fn nudge(&mut self) {
        let flags = Flags::ASYNC | Flags::SKIP_SUCCESS;
        let empty = opcode::Write::new(fd(&self.null), ptr::null(), 0).build();
        self.push(&empty.flags(flags).user_data(u64::MAX));
        self.ring.submit().expect("io_uring_enter");
    }

    /// Waits for the results of `N` requests. Returns them in the order of the requests.
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

    /// Submits a request and returns its result.
    pub fn run_one(&mut self, request: Entry) -> io::Result<usize> {
        let [result] = self.run([request]);
        result
    }

    /// Registers all of `map` as buffer 0, for [`write_fixed`].
    pub fn register(&self, map: &Map) {
        let buffer = memory::iovec(map.address(), map.size());
        // SAFETY: The kernel only reads the buffer, and keeps its pages for as long as it needs.
        unsafe { self.ring.submitter().register_buffers(&[buffer]) }
            .expect("IORING_REGISTER_BUFFERS");
    }

    /// Unregisters buffer 0.
    pub fn unregister(&self) {
        let unregistered = self.ring.submitter().unregister_buffers();
        unregistered.expect("IORING_UNREGISTER_BUFFERS");
    }
}

fn fd(file: &impl AsRawFd) -> Fd {
    Fd(file.as_raw_fd())
}

/// Returns an `IORING_OP_WRITE` at the position of the file.
pub fn write(file: &File, address: usize, len: usize) -> Entry {
    write_at(file, address, len, CURRENT)
}

/// Returns an `IORING_OP_WRITE` at `offset`.
pub fn write_at(file: &File, address: usize, len: usize, offset: u64) -> Entry {
    opcode::Write::new(fd(file), address as *const u8, len as u32)
        .offset(offset)
        .build()
}

/// Returns an `IORING_OP_WRITEV`. The pieces must live until the result has come.
pub fn writev(file: &File, pieces: &[libc::iovec]) -> Entry {
    opcode::Writev::new(fd(file), pieces.as_ptr(), pieces.len() as u32)
        .offset(CURRENT)
        .build()
}

/// Returns an `IORING_OP_WRITE_FIXED` of memory in buffer 0.
pub fn write_fixed(file: &File, address: usize, len: usize) -> Entry {
    opcode::WriteFixed::new(fd(file), address as *const u8, len as u32, 0)
        .offset(CURRENT)
        .build()
}

/// Returns an `IORING_OP_READ` at position 0. The buffer must live until the result has come.
pub fn read(file: &File, buffer: &mut [u8]) -> Entry {
    opcode::Read::new(fd(file), buffer.as_mut_ptr(), buffer.len() as u32).build()
}

/// Returns an `IORING_OP_SPLICE` from an offset, or from the position of the file or the pipe.
pub fn splice(from: &impl AsRawFd, offset: Option<usize>, to: &impl AsRawFd, len: usize) -> Entry {
    let offset = offset.map_or(-1, |offset| offset as i64);
    opcode::Splice::new(fd(from), offset, fd(to), -1, len as u32).build()
}

/// Returns an `IORING_OP_ASYNC_CANCEL` of the request with this number.
pub fn cancel(number: u64) -> Entry {
    opcode::AsyncCancel::new(number).build()
}

/// Makes the next request wait for this one, and fail if this one fails.
pub fn linked(request: Entry) -> Entry {
    request.flags(Flags::IO_LINK)
}
