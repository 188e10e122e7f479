// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The model: the state that open files and messages must have if the module works.

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

/// How a session was opened.
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

    /// Returns the name that fdinfo shows.
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

    /// Returns whether the session becomes a slot when it is closed.
    pub fn has_slot(self) -> bool {
        matches!(self, Self::Replace | Self::Append)
    }
}

/// A file descriptor of the device. Several may share an open file.
pub struct Descriptor {
    pub file: File,
    pub open: Rc<RefCell<OpenFile>>,
}

/// An open file of the device.
pub struct OpenFile {
    pub mode: Mode,
    /// Whether `O_APPEND` is set, which F_SETFL can change.
    pub append: bool,
    /// The index of the user who opened it.
    pub owner: usize,
    pub state: State,
    /// Whether an operation has set the state.
    pub changed: bool,
    /// How often the slot of the owner had been set when the file was opened.
    pub opened: u64,
    /// Whether the state has yet to be taken from the slot.
    pub view_due: bool,
    /// The position in the text.
    pub position: i64,
    /// The length of the session at offset 0 of the file.
    pub origin: u64,
    /// Whether `lseek` has set the position, and nothing has been read since.
    pub sought: bool,
}

impl OpenFile {
    /// Returns the state that a read finds. A view takes it from the slot, at the first read and
    /// whenever `refresh` is true.
    pub fn read(&mut self, refresh: bool, slot: State) -> State {
        if self.view_due || (refresh && self.mode == Mode::View) {
            self.state = slot;
            self.view_due = false;
        }
        self.state
    }

    /// Returns the text from a position to its end.
    pub fn text(&mut self, position: i64, slot: State) -> Vec<u8> {
        let text = reference::text(self.read(position == 0, slot).value);
        let start = usize::try_from(position).map_or(text.len(), |start| start.min(text.len()));
        text.as_bytes()[start..].to_vec()
    }

    /// Continues the session over `data`.
    pub fn append(&mut self, data: &[u8]) {
        self.state = device::state(
            reference::append(self.state.value, data),
            self.state.length + data.len() as u64,
        );
        self.changed |= !data.is_empty();
    }

    /// Replaces the state, as RESET and SET do.
    pub fn replace(&mut self, state: State) {
        self.state = state;
        self.changed = true;
        self.origin = 0;
    }

    /// Returns the offset in the file at which the session continues.
    pub fn next(&self) -> i64 {
        (self.state.length - self.origin) as i64
    }

    /// Returns whether a write continues the session, with an offset or at the position of the
    /// file.
    pub fn continues(&self, offset: Option<i64>) -> bool {
        match offset {
            Some(offset) => offset == self.next(),
            None => !self.sought || self.position == 0 && self.next() == 0,
        }
    }

    /// Notes a write at the position of the file.
    pub fn wrote(&mut self, count: usize) {
        if count > 0 {
            self.position = 0;
            self.sought = false;
        }
    }

    /// Notes a read at the position of the file.
    pub fn has_read(&mut self, count: usize) {
        if count > 0 {
            self.position += count as i64;
            self.sought = false;
        }
    }

    /// Returns how many more bytes the session can take.
    pub fn room(&self) -> u64 {
        uapi::MAX_LENGTH - self.state.length
    }
}

/// Returns whether a session can have this state.
pub fn is_possible(state: State) -> bool {
    is_checksum(state.value) && state.reserved == 0 && state.length <= uapi::MAX_LENGTH
}

/// Returns whether `value` can be a checksum.
pub fn is_checksum(value: u32) -> bool {
    value & 0xffff < 65521 && value >> 16 < 65521
}

/// Continues a checksum over a part, given the checksum of the part.
///
/// For each byte of the part, the second sum grows by the first sum of what precedes the part. The
/// part's own first sum starts from 1, which must not count twice.
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
    /// The key, which operation sockets share.
    pub seed: Rc<Cell<u32>>,
}

/// An operation socket.
pub struct Message {
    pub socket: alg::Operation,
    pub seed: Rc<Cell<u32>>,
    pub phase: Phase,
}

/// The progress of a message, with its checksum so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Idle,
    /// More data may be sent.
    Begun(u32),
    /// The digest can be received.
    Ended(u32),
}

impl Message {
    /// Continues the message over `data`, or starts one.
    pub fn send(&mut self, data: &[u8], more: bool) {
        let before = match self.phase {
            Phase::Begun(value) => value,
            _ if data.is_empty() => {
                self.phase = Phase::Idle;
                return;
            }
            _ => self.seed.get(),
        };
        let value = reference::append(before, data);
        self.phase = match more {
            true => Phase::Begun(value),
            false => Phase::Ended(value),
        };
    }

    /// Ends the message and returns its checksum.
    pub fn receive(&mut self) -> u32 {
        let value = match self.phase {
            Phase::Idle => self.seed.get(),
            Phase::Begun(value) | Phase::Ended(value) => value,
        };
        self.phase = Phase::Idle;
        value
    }

    /// Returns a clone of the message, for the socket that `accept(2)` has made.
    pub fn accept_clone(&self, socket: alg::Operation) -> Self {
        let phase = match self.phase {
            Phase::Begun(value) => Phase::Begun(value),
            // The kernel clones no message that has ended.
            _ => Phase::Idle,
        };
        Self {
            socket,
            seed: self.seed.clone(),
            phase,
        }
    }
}
