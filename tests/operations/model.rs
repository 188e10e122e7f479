// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What open files and messages have in them, if the backends do what they promise.

use std::cell::Cell;
use std::cell::RefCell;
use std::fs::File;
use std::rc::Rc;

use adler32::uapi;
use adler32::uapi::State;
use libc::c_int;

use adler32_tests::alg;
use adler32_tests::device;
use adler32_tests::reference;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    View,
    Replace,
    Append,
    Private,
    IoctlOnly,
}

impl Mode {
    pub fn of(flags: c_int) -> Self {
        match flags & libc::O_ACCMODE {
            libc::O_RDONLY => Self::View,
            libc::O_WRONLY if flags & libc::O_APPEND != 0 => Self::Append,
            libc::O_WRONLY => Self::Replace,
            libc::O_RDWR => Self::Private,
            _ => Self::IoctlOnly,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Replace => "replace",
            Self::Append => "append",
            Self::Private => "private",
            Self::IoctlOnly => "ioctl",
        }
    }

    pub fn is_readable(self) -> bool {
        matches!(self, Self::View | Self::Private)
    }

    pub fn is_writable(self) -> bool {
        matches!(self, Self::Replace | Self::Append | Self::Private)
    }

    pub fn has_register(self) -> bool {
        matches!(self, Self::Replace | Self::Append)
    }
}

/// A file descriptor of the device. Others may have the same open file.
pub struct Descriptor {
    pub file: File,
    pub open: Rc<RefCell<OpenFile>>,
}

pub struct OpenFile {
    pub mode: Mode,
    /// `O_APPEND` is set, which can change.
    pub append: bool,
    /// The index of the user who opened it.
    pub owner: usize,
    pub state: State,
    /// The state is still to be taken from the register.
    pub view_due: bool,
    pub position: i64,
}

impl OpenFile {
    /// Returns the state as reading it finds it: at position 0, `anew`.
    pub fn look(&mut self, anew: bool, register: State) -> State {
        if self.view_due || (anew && self.mode == Mode::View) {
            self.state = register;
            self.view_due = false;
        }
        self.state
    }

    /// Returns what is to be read at a position.
    pub fn text(&mut self, position: i64, register: State) -> Vec<u8> {
        let text = reference::text(self.look(position == 0, register).value);
        let start = usize::try_from(position).map_or(text.len(), |start| start.min(text.len()));
        text.as_bytes()[start..].to_vec()
    }

    pub fn append(&mut self, data: &[u8]) {
        self.state = device::state(
            reference::append(self.state.value, data),
            self.state.length + data.len() as u64,
        );
    }

    /// Returns how many bytes more the session can have.
    pub fn room(&self) -> u64 {
        uapi::MAX_LENGTH - self.state.length
    }
}

/// Returns whether there can be such a state.
pub fn is_possible(state: State) -> bool {
    is_checksum(state.value) && state.reserved == 0 && state.length <= uapi::MAX_LENGTH
}

pub fn is_checksum(value: u32) -> bool {
    value & 0xffff < 65521 && value >> 16 < 65521
}

/// Appends a part to a checksum: the sums modulo 65521, of which the second has the first added
/// once for each byte of the part, and both count the 1 that every checksum starts with.
pub fn combine(value: u32, part: State) -> u32 {
    const MODULUS: u128 = 65521;
    let halves = |value: u32| (u128::from(value & 0xffff), u128::from(value >> 16));
    let ((a, b), (part_a, part_b)) = (halves(value), halves(part.value));
    let less_one = a + MODULUS - 1;
    let a = (less_one + part_a) % MODULUS;
    let b = (b + part_b + u128::from(part.length) * less_one) % MODULUS;
    (b << 16 | a) as u32
}

/// An AF_ALG socket bound to the hash.
pub struct Hash {
    pub socket: alg::Hash,
    /// Its key, of which operation sockets have a reference, too.
    pub seed: Rc<Cell<u32>>,
}

/// An operation socket.
pub struct Message {
    pub socket: alg::Operation,
    pub seed: Rc<Cell<u32>>,
    pub progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Idle,
    /// More may be sent.
    Begun(u32),
    /// The checksum waits to be received.
    Ended(u32),
}

impl Message {
    pub fn send(&mut self, data: &[u8], more: bool) {
        let before = match self.progress {
            Progress::Begun(value) => value,
            _ if data.is_empty() => {
                self.progress = Progress::Idle;
                return;
            }
            _ => self.seed.get(),
        };
        let value = reference::append(before, data);
        self.progress = match more {
            true => Progress::Begun(value),
            false => Progress::Ended(value),
        };
    }

    /// Ends the message.
    pub fn receive(&mut self) -> u32 {
        let value = match self.progress {
            Progress::Idle => self.seed.get(),
            Progress::Begun(value) | Progress::Ended(value) => value,
        };
        self.progress = Progress::Idle;
        value
    }

    pub fn accept_clone(&self, socket: alg::Operation) -> Self {
        let progress = match self.progress {
            Progress::Begun(value) => Progress::Begun(value),
            // What has ended is not cloned.
            _ => Progress::Idle,
        };
        Self {
            socket,
            seed: self.seed.clone(),
            progress,
        }
    }
}
