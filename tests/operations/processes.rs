// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Processes and threads that share an open file.

use std::cell::RefCell;
use std::io::Seek;
use std::panic;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use adler32::uapi;
use fastrand::Rng;
use nix::sys::prctl;
use nix::sys::signal::Signal;

use crate::arena::EQUAL;
use crate::model::OpenFile;
use crate::operation::Span;
use crate::operation::MEMORY;
use crate::world::World;
use adler32_tests::device;
use adler32_tests::device::Device;
use adler32_tests::memory;
use adler32_tests::process;
use adler32_tests::reference;

/// How many bytes a child that is to be killed passes to each call.
const PIECE: usize = 100_000;

impl World<'_> {
    /// Lets a child write to a file. If `alone`, this process closes the file before.
    pub fn inherit(&mut self, at: usize, span: Span, alone: bool) -> Option<()> {
        let data = self.arena.data(span);
        if !self.files[at].open.borrow().mode.is_writable()
            || !data.is_whole()
            || data.foreign
            || data.len as u64 > self.files[at].open.borrow().room()
            || !self.files[at].open.borrow().continues(None)
        {
            return None;
        }
        let file = self.files[at].file.try_clone().expect("dup");
        let mut child = process::fork(|link| {
            link.wait();
            let written = memory::write_from(&file, data.address, data.len);
            assert_eq!(written.expect("write"), data.len);
        });
        drop(file);
        let open = self.files[at].open.clone();
        if alone {
            self.close_all_of(&open);
        }
        child.link().notify();
        child.join();
        open.borrow_mut().append(data.there);
        open.borrow_mut().wrote(data.len);
        self.release(open);
        Some(())
    }

    /// Kills a child that repeats a write. If `alone`, no other process has the file open any
    /// longer.
    pub fn kill(
        &mut self,
        at: usize,
        by_ioctl: bool,
        alone: bool,
        microseconds: u64,
    ) -> Option<()> {
        let open = self.files[at].open.clone();
        let (mode, owner) = (open.borrow().mode, open.borrow().owner);
        if !mode.is_writable() {
            return None;
        }
        let file = self.files[at].file.try_clone().expect("dup");
        let read_text = |mut file: &std::fs::File| {
            if mode.is_readable() {
                file.rewind().expect("lseek");
                device::read_rest(file);
            }
        };
        // After `lseek`, writes would be refused.
        read_text(&file);
        // The session is stored even if the child is killed before it changes anything.
        file.combine(device::EMPTY).expect("COMBINE");
        open.borrow_mut().changed = true;
        // GET refreshes the view. While the view is open, the module cannot be unloaded.
        let view = self.as_user(owner, device::view);
        let arena = self.arena;
        let equal = arena.equal.address();
        let mut child = process::fork(|link| {
            // If this process is killed, the child must not run on and hold the module.
            prctl::set_pdeathsig(Signal::SIGKILL).expect("prctl");
            arena.unshare();
            link.notify();
            loop {
                let _ = if by_ioctl {
                    file.update_from(equal as u64, PIECE as u64)
                } else {
                    memory::write_from(&file, equal, PIECE).map(|_| ())
                };
            }
        });
        // The child writes. From now on, this process may have closed the file.
        child.link().wait();
        let kept = (!alone || !mode.has_slot()).then(|| file.try_clone().expect("dup"));
        drop(file);
        if kept.is_none() {
            self.close_all_of(&open);
        }
        thread::sleep(Duration::from_micros(microseconds));
        child.kill();

        let before = open.borrow().state;
        let after = match &kept {
            Some(file) => {
                // The child may have been killed before its first write set the position.
                read_text(file);
                file.state()
            }
            None => view.state(),
        };
        let more = after.length.checked_sub(before.length);
        let more = more.expect("a killed child made the session shorter");
        let value = reference::append_repeated(before.value, EQUAL, more);
        assert_eq!(after.value, value, "the sum of what a killed child wrote");
        if by_ioctl {
            assert_eq!(more % PIECE as u64, 0, "UPDATE is all or none");
        }
        open.borrow_mut().state = after;
        open.borrow_mut().position = 9;
        open.borrow_mut().sought = false;
        self.release(open);
        Some(())
    }

    /// Lets threads write equal bytes to one file in every way, and read its state in between.
    pub fn crowd(&mut self, threads: u8, calls: u8, seed: u64) {
        let opened = device::open(libc::O_RDWR);
        self.check_present(opened.is_ok());
        let Ok(file) = &opened else {
            return;
        };
        let equal = self.arena.equal.address();
        let work = &|mut rng: Rng| {
            let mut sent = 0;
            for _ in 0..calls {
                let len = rng.usize(..30_000) >> rng.u32(..14);
                let offset = rng.usize(..MEMORY - len);
                let address = equal + offset;
                match rng.u32(..5) {
                    0 => {
                        let written = memory::write_from(file, address, len).expect("write");
                        assert_eq!(written, len);
                    }
                    1 => {
                        let half = len / 2;
                        let pieces = [(address, half), (address + half, len - half)];
                        let written = memory::writev_from(file, &pieces).expect("writev");
                        assert_eq!(written, len);
                    }
                    2 => file
                        .update_from(address as u64, len as u64)
                        .expect("UPDATE"),
                    3 => {
                        let part = device::state(
                            reference::append_repeated(1, EQUAL, len as u64),
                            len as u64,
                        );
                        file.combine(part).expect("COMBINE");
                    }
                    _ => {
                        let state = file.state();
                        assert_eq!(state, equal_state(state.length), "in between");
                        continue;
                    }
                }
                sent += len as u64;
            }
            sent
        };
        let total: u64 = thread::scope(|scope| {
            let threads: Vec<_> = (0..u64::from(threads))
                .map(|number| scope.spawn(move || work(Rng::with_seed(seed.wrapping_add(number)))))
                .collect();
            let sums = threads.into_iter().map(|thread| thread.join());
            sums.map(|sum| sum.unwrap_or_else(|payload| panic::resume_unwind(payload)))
                .sum()
        });
        assert_eq!(file.state(), equal_state(total), "in the end");
    }

    /// Closes all descriptors of an open file that this process has.
    fn close_all_of(&mut self, open: &Rc<RefCell<OpenFile>>) {
        self.files.retain(|file| !Rc::ptr_eq(&file.open, open));
    }
}

/// Returns the state of a session in which every byte is [`EQUAL`].
fn equal_state(length: u64) -> uapi::State {
    device::state(reference::append_repeated(1, EQUAL, length), length)
}
