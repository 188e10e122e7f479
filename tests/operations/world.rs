// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What one process uses of the module, and the state that the model expects of it.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use adler32::uapi::State;
use nix::errno::Errno;
use nix::sys::mman;
use nix::sys::mman::MapFlags;
use nix::sys::mman::ProtFlags;

use crate::arena::Arena;
use crate::model::Descriptor;
use crate::model::Hash;
use crate::model::Message;
use crate::model::Mode;
use crate::model::OpenFile;
use crate::operation::Operation;
use crate::operation::Pick;
use adler32_tests::device;
use adler32_tests::device::Device;
use adler32_tests::device::EMPTY;
use adler32_tests::module;
use adler32_tests::process;
use adler32_tests::ErrnoOf;

/// The most files, the most hashes and the most messages at a time.
pub const MAX: usize = 6;

/// Counts how often the module has been unloaded, for all processes.
pub struct Unloads {
    /// How many attempts are under way.
    under_way: AtomicU64,
    done: AtomicU64,
}

impl Unloads {
    /// Returns counters that later children share.
    pub fn shared() -> &'static Self {
        let size = NonZeroUsize::new(size_of::<Self>()).expect("not empty");
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: The kernel chooses an address range that is free.
        let map = unsafe { mman::mmap_anonymous(None, size, protection, MapFlags::MAP_SHARED) };
        // SAFETY: The memory stays mapped forever, is aligned to a page, and zeros are valid.
        unsafe { map.expect("mmap").cast().as_ref() }
    }

    /// Tries to unload the module.
    fn attempt(&self) -> Errno {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        let result = module::try_unload();
        if result.is_ok() {
            self.done.fetch_add(1, Ordering::SeqCst);
        }
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        result.errno()
    }

    /// Returns how often the module has been unloaded, once no attempt is under way. The number
    /// stays the same for as long as the caller holds the module.
    fn count(&self) -> u64 {
        while self.under_way.load(Ordering::SeqCst) > 0 {
            thread::sleep(Duration::from_micros(50));
        }
        self.done.load(Ordering::SeqCst)
    }
}

/// The files and sockets of a process, with the model of each, and of the slots.
pub struct World<'a> {
    pub arena: &'a Arena,
    unloads: &'a Unloads,
    /// Whether no other process loads or unloads the module.
    alone: bool,
    /// Whether the module is loaded, if this process is alone.
    loaded: bool,
    /// How often the module had been unloaded when `slots` was valid.
    unloads_known: u64,
    users: [u32; 2],
    user: usize,
    pub slots: [State; 2],
    /// How often the slot of each user has been set.
    sets: [u64; 2],
    pub files: Vec<Descriptor>,
    pub hashes: Vec<Hash>,
    pub messages: Vec<Message>,
}

impl<'a> World<'a> {
    /// Starts with the module loaded and with empty slots. No other process may use these users.
    pub fn new(arena: &'a Arena, unloads: &'a Unloads, users: [u32; 2], alone: bool) -> Self {
        let mut world = Self {
            arena,
            unloads,
            alone,
            loaded: true,
            unloads_known: 0,
            users,
            user: 0,
            slots: [EMPTY; 2],
            sets: [0; 2],
            files: Vec::new(),
            hashes: Vec::new(),
            messages: Vec::new(),
        };
        if alone {
            // A process that was killed may have left its attempt in the count.
            unloads.under_way.store(0, Ordering::SeqCst);
            module::ensure_loaded();
        }
        for user in 0..users.len() {
            world.switch_user(user);
            while let Err(error) = device::open(libc::O_WRONLY) {
                assert!(!alone, "open: {error}");
                world.load();
            }
        }
        world
    }

    /// Performs an operation and checks the result. Returns whether there was anything to do.
    pub fn step(&mut self, operation: Operation) -> bool {
        let performed = self.perform(operation).is_some();
        if self.holds_module() {
            let unloads = self.unloads.count();
            assert_eq!(unloads, self.unloads_known, "unloaded while in use");
        }
        performed
    }

    fn perform(&mut self, operation: Operation) -> Option<()> {
        match operation {
            Operation::SwitchUser(user) => self.switch_user(user.into()),
            Operation::Open(flags) => self.open(flags)?,
            Operation::OnFile(pick, operation) => self.file_step(pick, operation)?,
            Operation::Crowd {
                threads,
                calls,
                seed,
            } => self.crowd(threads, calls, seed),
            Operation::Bind { by_driver } => self.bind(by_driver)?,
            Operation::OnHash(pick, operation) => self.hash_step(pick, operation)?,
            Operation::OnMessage(pick, operation) => self.message_step(pick, operation)?,
            Operation::Load => self.load(),
            Operation::Unload { close_first } => self.unload(close_first),
        }
        Some(())
    }

    /// Closes everything and checks the slots.
    pub fn finish(mut self) {
        self.close_all();
        for user in 0..self.users.len() {
            self.switch_user(user);
            let opened = device::open(libc::O_RDONLY);
            self.check_present(opened.is_ok());
            if let Ok(file) = opened {
                self.acquired();
                assert_eq!(file.state(), self.slots[user], "the slot of user {user}");
            }
        }
    }

    fn switch_user(&mut self, user: usize) {
        self.user = user % self.users.len();
        take_uid(self.users[self.user]);
    }

    /// Runs `work` as root.
    pub fn as_root<T>(&self, work: impl FnOnce() -> T) -> T {
        self.as_uid(0, work)
    }

    /// Runs `work` as one of the users.
    pub fn as_user<T>(&self, user: usize, work: impl FnOnce() -> T) -> T {
        self.as_uid(self.users[user], work)
    }

    fn as_uid<T>(&self, uid: u32, work: impl FnOnce() -> T) -> T {
        take_uid(uid);
        let result = work();
        take_uid(self.users[self.user]);
        result
    }

    fn holds_module(&self) -> bool {
        !(self.files.is_empty() && self.hashes.is_empty() && self.messages.is_empty())
    }

    /// Records that this process holds the module from now on, so that it cannot be unloaded. Slots
    /// are empty again if it was unloaded before.
    pub fn acquired(&mut self) {
        if self.holds_module() {
            return;
        }
        let unloads = self.unloads.count();
        if unloads != self.unloads_known {
            self.unloads_known = unloads;
            self.slots = [EMPTY; 2];
        }
    }

    /// Checks whether a call may have found the module loaded.
    pub fn check_present(&self, found: bool) {
        if self.alone {
            assert_eq!(found, self.loaded, "the module is loaded");
        } else {
            assert!(found || !self.holds_module(), "the module is in use");
        }
    }

    fn open(&mut self, flags: i32) -> Option<()> {
        if self.files.len() == MAX {
            return None;
        }
        let opened = device::open(flags);
        let error = opened.as_ref().err().and_then(|error| error.raw_os_error());
        let errno = Errno::from_raw(error.unwrap_or(0));
        let absent = [Errno::ENOENT, Errno::ENODEV, Errno::ENXIO].contains(&errno);
        self.check_present(!absent);
        if absent {
            return Some(());
        }
        if flags & libc::O_DIRECT != 0 {
            assert_eq!(errno, Errno::EINVAL, "open with O_DIRECT");
            return Some(());
        }
        let file = opened.expect("open");
        self.acquired();
        let mode = Mode::of(flags);
        let state = match mode {
            Mode::Append => self.slots[self.user],
            _ => EMPTY,
        };
        let open = OpenFile {
            mode,
            append: flags & libc::O_APPEND != 0,
            owner: self.user,
            state,
            changed: false,
            opened: self.sets[self.user],
            view_due: mode == Mode::View,
            position: 0,
            origin: state.length,
            sought: false,
        };
        self.files.push(Descriptor {
            file,
            open: Rc::new(RefCell::new(open)),
        });
        Some(())
    }

    /// Duplicates a descriptor, if there is room for another.
    pub fn dup(&mut self, at: usize) -> Option<()> {
        if self.files.len() == MAX {
            return None;
        }
        let descriptor = &self.files[at];
        let file = descriptor.file.try_clone().expect("dup");
        let open = descriptor.open.clone();
        self.files.push(Descriptor { file, open });
        Some(())
    }

    /// Closes a descriptor.
    pub fn close(&mut self, at: usize) {
        let Descriptor { file, open } = self.files.swap_remove(at);
        drop(file);
        self.release(open);
    }

    /// Makes the session of an open file the slot if no descriptor refers to it any longer.
    pub fn release(&mut self, open: Rc<RefCell<OpenFile>>) {
        if let Some(open) = Rc::into_inner(open).map(RefCell::into_inner) {
            if open.mode.has_slot() && open.changed {
                self.slots[open.owner] = open.state;
                self.sets[open.owner] += 1;
            } else if open.mode == Mode::Replace && open.opened == self.sets[open.owner] {
                self.slots[open.owner] = EMPTY;
            }
        }
    }

    fn close_all(&mut self) {
        while !self.files.is_empty() {
            self.close(0);
        }
        self.hashes.clear();
        self.messages.clear();
    }

    /// Returns the index that a pick chooses from a list.
    pub fn pick(pick: Pick, len: usize) -> Option<usize> {
        usize::from(pick).checked_rem(len)
    }

    fn bind(&mut self, by_driver: bool) -> Option<()> {
        if self.hashes.len() == MAX {
            return None;
        }
        let name = if by_driver {
            module::DRIVER
        } else {
            module::NAME
        };
        match adler32_tests::alg::Hash::bind(name) {
            Ok(socket) => {
                self.loaded = true;
                self.acquired();
                self.hashes.push(Hash {
                    socket,
                    seed: Rc::new(1.into()),
                });
            }
            // Another process unloaded the module just after the bind had loaded it.
            Err(Errno::ENOENT) if !self.alone && !self.holds_module() => (),
            Err(error) => panic!("bind: {error}"),
        }
        Some(())
    }

    fn load(&mut self) {
        let result = self.as_root(|| module::load(module::NAME, "")).errno();
        let expected: &[Errno] = match (self.alone, self.loaded) {
            (true, false) => &[Errno::UnknownErrno],
            (true, true) => &[Errno::EEXIST],
            (false, _) => &[Errno::UnknownErrno, Errno::EEXIST, Errno::EBUSY],
        };
        assert!(expected.contains(&result), "loading: {result}");
        self.loaded = true;
    }

    fn unload(&mut self, close_first: bool) {
        if close_first {
            self.close_all();
        }
        let attempt = || self.as_root(|| self.unloads.attempt());
        if self.holds_module() {
            // If the count were 0, the attempt would remove code that is in use.
            assert!(module::refcount() > Some(0), "a user is not counted");
            let result = attempt();
            // EBUSY if another process makes the same attempt at the same time.
            let is_refusal =
                result == Errno::EWOULDBLOCK || (!self.alone && result == Errno::EBUSY);
            assert!(is_refusal, "unloading a module in use: {result}");
        } else if !self.alone {
            let result = attempt();
            let expected = [
                Errno::UnknownErrno,
                Errno::EWOULDBLOCK,
                Errno::EBUSY,
                Errno::ENOENT,
            ];
            assert!(expected.contains(&result), "unloading: {result}");
        } else if self.loaded {
            process::eventually("the unused module is unloaded", || {
                let result = attempt();
                assert!(
                    [Errno::UnknownErrno, Errno::EWOULDBLOCK].contains(&result),
                    "unloading: {result}"
                );
                result == Errno::UnknownErrno
            });
            self.loaded = false;
        } else {
            assert_eq!(
                attempt(),
                Errno::ENOENT,
                "unloading a module that is not loaded"
            );
        }
    }
}

/// Changes the effective user. The real user stays root, which allows the next change.
fn take_uid(uid: u32) {
    process::set_thread_uids(-1, 0, -1);
    process::set_thread_uids(-1, uid.into(), -1);
}
