// SPDX-License-Identifier: GPL-2.0

//! The state of one open file.

use core::mem::MaybeUninit;

use kernel::{
    alloc::Flags,
    bindings,
    ffi::c_int,
    iov::IovIterSource,
    new_condvar,
    new_spinlock,
    prelude::*,
    sync::{
        lock::{
            spinlock::SpinLockBackend,
            Guard, //
        },
        Arc,
        CondVar,
        SpinLock, //
    }, //
};

use super::{
    input,
    position::{
        self,
        Position,
        TEXT_LEN, //
    },
    slot::{
        Room,
        Slots,
        User, //
    },
    sum::Sum, //
};
use crate::{
    adler32::Adler32,
    kernel_ext::{
        kiocb::Wait,
        wipe::wipe, //
    },
    platform,
    uapi, //
};

/// Writes of at most this many bytes are copied to the stack.
const TINY: usize = 256;

/// A buffer on the stack, which is wiped as [`input`] wipes its buffers.
struct Tiny {
    bytes: [MaybeUninit<u8>; TINY],
    /// How many of the bytes are used.
    used: usize,
}

impl Drop for Tiny {
    fn drop(&mut self) {
        if let Some(bytes) = self.bytes.get_mut(..self.used) {
            wipe(bytes);
        }
    }
}

/// How a session was opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The session shows the slot.
    View,
    /// The session starts empty and is stored in the slot.
    Replace,
    /// The session continues the slot and is stored in it.
    Append,
    /// The session starts empty and leaves the slot alone.
    Private,
    /// The same without reading and writing.
    IoctlOnly,
}

impl Mode {
    /// Returns whether the last close stores the session in the slot of its owner.
    pub(super) fn has_slot(self) -> bool {
        matches!(self, Self::Replace | Self::Append)
    }

    /// Returns the initial position of the file.
    pub(super) fn start(self) -> i64 {
        match self {
            Self::View | Self::IoctlOnly => 0,
            Self::Replace | Self::Append => position::START,
            Self::Private => position::READABLE_START,
        }
    }

    fn is_writable(self) -> bool {
        matches!(self, Self::Replace | Self::Append | Self::Private)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Replace => "replace",
            Self::Append => "append",
            Self::Private => "private",
            Self::IoctlOnly => "ioctl",
        }
    }
}

struct State {
    /// A write or an update is in progress. Only it may change `sum`, and others read `sum` only
    /// for information.
    busy: bool,
    sum: Sum,
    /// `sum` has not been taken from the slot yet.
    view_due: bool,
    /// An operation has set the sum.
    changed: bool,
    /// The length of `sum` where offset 0 of the file is.
    origin: u64,
    /// `lseek` has set the position, and the text has not been read since.
    sought: bool,
    /// Memory for the slot. It exists before the sum is not empty, so that the last close cannot
    /// fail.
    room: Option<Room>,
}

impl State {
    /// Returns the offset in the file at which the session continues.
    fn next(&self) -> i64 {
        (self.sum.length() - self.origin) as i64
    }

    /// Returns [`ESPIPE`] unless a write at `position` continues the session.
    fn admit(&mut self, position: Position) -> Result {
        match position {
            // After `lseek`, the caller expects the data elsewhere, except at the start of nothing.
            Position::Text(text) if self.sought && (text != 0 || self.next() != 0) => Err(ESPIPE),
            Position::Text(_) => {
                self.sought = false;
                Ok(())
            }
            Position::Offset(offset) if offset != self.next() => Err(ESPIPE),
            Position::Offset(_) => Ok(()),
        }
    }

    fn set(&mut self, sum: Sum) {
        self.sum = sum;
        self.changed = true;
    }

    /// Replaces the sum by another, as if it were of the file's bytes so far.
    fn replace(&mut self, sum: Sum) {
        self.set(sum);
        self.origin = 0;
    }
}

/// The state of an open file.
#[pin_data]
pub(crate) struct Session {
    mode: Mode,
    owner: User,
    slots: Arc<Slots>,
    /// The number of uses of slots before this session.
    opened: u64,
    /// A spinlock, because it is held only briefly: a preempted holder of a mutex would delay even
    /// readers of fdinfo.
    #[pin]
    state: SpinLock<State>,
    /// Notified when `busy` becomes false.
    #[pin]
    idle: CondVar,
}

impl Session {
    /// Makes the session of a file that `owner` opens. This never sleeps.
    pub(super) fn open(mode: Mode, owner: User, slots: &Arc<Slots>) -> Result<Pin<KBox<Self>>> {
        let sum = match mode {
            Mode::Append => slots.use_slot(owner),
            Mode::View | Mode::Replace | Mode::Private | Mode::IoctlOnly => Sum::EMPTY,
        };
        without_sleep(|flags| KBox::pin_init(Self::new(mode, owner, slots, sum), flags))
    }

    fn new(mode: Mode, owner: User, slots: &Arc<Slots>, sum: Sum) -> impl PinInit<Self> {
        let opened = slots.uses();
        let slots = slots.clone();
        let view_due = mode == Mode::View;
        pin_init!(Self {
            mode,
            owner,
            slots,
            opened,
            state <- new_spinlock!(State {
                busy: false,
                sum,
                view_due,
                changed: false,
                origin: sum.length(),
                sought: false,
                room: None,
            }),
            idle <- new_condvar!(),
        })
    }

    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    /// Returns whether the file is open for writing.
    pub(super) fn is_writable(&self) -> bool {
        self.mode.is_writable()
    }

    /// Interprets a position that the kernel passes for a read or a write.
    pub(super) fn position(&self, position: i64) -> Position {
        if self.is_writable() {
            Position::new(position, self.mode.start())
        } else {
            Position::Text(position)
        }
    }

    /// Handles `lseek`. Returns its result.
    ///
    /// The position of a file that can be read is that in the text. Otherwise, it is where the
    /// session continues.
    pub(super) fn seek(&self, position: &mut i64, offset: i64, whence: c_int) -> Result<i64> {
        const SET: c_int = bindings::SEEK_SET as c_int;
        const CUR: c_int = bindings::SEEK_CUR as c_int;
        const END: c_int = bindings::SEEK_END as c_int;
        const MAX: c_int = bindings::SEEK_MAX as c_int;

        let mut state = self.state.lock();
        if self.mode.has_slot() {
            return match (whence, offset) {
                (CUR, 0) => Ok(state.next()),
                (SET, offset) if offset == state.next() => Ok(offset),
                (0..=MAX, _) => Err(ESPIPE),
                _ => Err(EINVAL),
            };
        }
        let start = self.mode.start();
        let base = match whence {
            SET => 0,
            // Programs that leave holes go forward from where they are.
            CUR if offset > 0 && self.is_writable() => return Err(ESPIPE),
            CUR => *position - start,
            END => TEXT_LEN as i64,
            _ => return Err(EINVAL),
        };
        let text = base.checked_add(offset).ok_or(EINVAL)?;
        if !(0..=TEXT_LEN as i64).contains(&text) {
            return Err(EINVAL);
        }
        if (whence, offset) != (CUR, 0) {
            *position = start + text;
            state.sought = true;
        }
        Ok(text)
    }

    /// Stores the sum in the slot of the owner if the mode uses the slot. Called at the last close.
    ///
    /// A session without changes stores nothing that is older than the slot: in
    /// `cp FILE /dev/stdout > /dev/adler32`, `cp` has a session of its own, and closes that of the
    /// shell later.
    pub(super) fn publish(&self) {
        if !self.mode.has_slot() {
            return;
        }
        let (changed, sum, room) = {
            let mut state = self.state.lock();
            (state.changed, state.sum, state.room.take())
        };
        if changed {
            self.slots.set(self.owner, sum, room);
        } else if self.mode == Mode::Replace {
            self.slots.remove_older(self.owner, self.opened);
        }
    }

    /// Returns the text for a read at `position`.
    pub(super) fn text(&self, position: Position, wait: Wait) -> Result<[u8; TEXT_LEN]> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";

        let mut value = self.read(position.in_text() == 0, wait)?.checksum().value();
        let mut text = [b'\n'; TEXT_LEN];
        for char in text.iter_mut().take(8) {
            value = value.rotate_left(4);
            *char = DIGITS[(value & 0xf) as usize];
        }
        Ok(text)
    }

    /// Notes that the text has been read from `position`.
    pub(super) fn has_read(&self, position: Position) {
        if matches!(position, Position::Text(_)) && self.is_writable() {
            self.state.lock().sought = false;
        }
    }

    /// Handles [`uapi::NR_GET`].
    pub(super) fn get(&self) -> Result<uapi::State> {
        Ok(self.read(true, Wait::Yes)?.to_state())
    }

    /// Returns value and length without waiting for a write in progress.
    pub(super) fn snapshot(&self) -> uapi::State {
        // Before the state is locked: neither lock is ever taken under the other.
        let slot = self.viewed_slot();
        let state = self.state.lock();
        let sum = match slot {
            Some(slot) if state.view_due => slot,
            _ => state.sum,
        };
        sum.to_state()
    }

    /// Handles [`uapi::NR_RESET`].
    pub(super) fn reset(&self) -> Result {
        self.lock_idle(Wait::Yes)?.replace(Sum::EMPTY);
        Ok(())
    }

    /// Handles [`uapi::NR_SET`].
    pub(super) fn set_state(&self, state: uapi::State) -> Result {
        let sum = Sum::from_state(state)?;
        self.lock_to_change(Wait::Yes)?.replace(sum);
        Ok(())
    }

    /// Handles [`uapi::NR_COMBINE`].
    pub(super) fn combine(&self, part: uapi::State) -> Result {
        let part = Sum::from_state(part)?;
        let mut state = self.lock_to_change(Wait::Yes)?;
        let sum = state.sum.combined(part)?;
        state.set(sum);
        Ok(())
    }

    /// Handles [`uapi::NR_UPDATE`].
    pub(super) fn update(&self, buffer: uapi::Buffer) -> Result {
        let uapi::Buffer { address, length } = buffer;
        if length > uapi::MAX_BUFFER {
            return Err(EINVAL);
        }
        let mut operation = self.begin(|_| Ok(()))?;
        operation.sum.check_room(length)?;
        let checksum = input::append_user(operation.sum.checksum(), address, length)?;
        operation.append(checksum, length)
    }

    /// Appends the bytes of `iov` if a write at `position` continues the session. Returns the
    /// number of bytes appended, which is less than their number if the memory ends early or the
    /// caller is killed.
    pub(super) fn write(
        &self,
        position: Position,
        iov: &mut IovIterSource<'_>,
        wait: Wait,
    ) -> Result<usize> {
        if iov.len() <= TINY {
            return self.write_tiny(position, iov, wait);
        }
        if wait == Wait::No {
            return Err(EAGAIN);
        }
        let mut operation = self.begin(|state| state.admit(position))?;
        operation.sum.check_room(iov.len() as u64)?;

        let mut written = 0;
        let result = input::append(operation.sum.checksum(), iov, |checksum, len| {
            operation.append(checksum, len as u64)?;
            written += len;
            Ok(())
        });
        match result {
            Err(error) if written == 0 => Err(error),
            _ => Ok(written),
        }
    }

    /// Does what [`Self::write`] does, for at most [`TINY`] bytes. These are copied before the lock
    /// is taken, so it is taken only once.
    fn write_tiny(
        &self,
        position: Position,
        iov: &mut IovIterSource<'_>,
        wait: Wait,
    ) -> Result<usize> {
        if iov.is_empty() {
            return Ok(0);
        }
        let mut buffer = Tiny {
            bytes: [const { MaybeUninit::uninit() }; TINY],
            used: iov.len(),
        };
        let data = input::copy(iov, &mut buffer.bytes)?;
        let mut state = self.lock_to_change(wait)?;
        state.admit(position)?;
        let checksum = platform::update(state.sum.checksum(), data);
        let sum = state.sum.extended(checksum, data.len() as u64)?;
        state.set(sum);
        Ok(data.len())
    }

    /// Returns the sum once no write is in progress. A view takes its sum from the slot the first
    /// time, and whenever `refresh` is set.
    fn read(&self, refresh: bool, wait: Wait) -> Result<Sum> {
        if self.mode == Mode::View && (refresh || self.state.lock().view_due) {
            let slot = self.slots.use_slot(self.owner);
            let mut state = self.state.lock();
            state.sum = slot;
            state.view_due = false;
        }
        Ok(self.lock_idle(wait)?.sum)
    }

    /// Returns the slot if the session is a view of it.
    fn viewed_slot(&self) -> Option<Sum> {
        (self.mode == Mode::View).then(|| self.slots.get(self.owner))
    }

    /// Waits until the session is not busy, and locks its state. A signal ends the wait.
    fn lock_idle(&self, wait: Wait) -> Result<Guard<'_, State, SpinLockBackend>> {
        let mut state = self.state.lock();
        let mut woken = false;
        while state.busy {
            if wait == Wait::No {
                return Err(EAGAIN);
            }
            woken = true;
            if self.idle.wait_interruptible(&mut state) {
                // This task may have been woken for both reasons. Another one waits, too.
                self.idle.notify_one();
                return Err(ERESTARTSYS);
            }
        }
        if woken {
            // The end of an operation wakes one task, which wakes the next one.
            self.idle.notify_one();
        }
        Ok(state)
    }

    /// Does what [`Self::lock_idle`] does, after making sure that the sum can become the slot.
    fn lock_to_change(&self, wait: Wait) -> Result<Guard<'_, State, SpinLockBackend>> {
        let state = self.lock_idle(wait)?;
        if !self.mode.has_slot() || state.room.is_some() {
            return Ok(state);
        }
        drop(state);
        let room = match wait {
            Wait::Yes => Room::new(GFP_KERNEL_ACCOUNT)?,
            Wait::No => return Err(EAGAIN),
        };
        let mut state = self.lock_idle(wait)?;
        state.room.get_or_insert(room);
        Ok(state)
    }

    /// Makes the session busy with an operation that may take long, if `check` allows it.
    fn begin(&self, check: impl FnOnce(&mut State) -> Result) -> Result<Operation<'_>> {
        let mut state = self.lock_to_change(Wait::Yes)?;
        check(&mut state)?;
        state.busy = true;
        // INVARIANT: `busy` was false, and was set just now for this operation.
        Ok(Operation {
            session: self,
            sum: state.sum,
        })
    }
}

/// An operation in progress. Other operations wait for its end, but [`Session::snapshot`] does not.
///
/// # Invariants
///
/// The session is busy because of this operation.
struct Operation<'a> {
    session: &'a Session,
    sum: Sum,
}

impl Operation<'_> {
    /// Adds `more` bytes to the session, with which the checksum becomes `checksum`.
    fn append(&mut self, checksum: Adler32, more: u64) -> Result {
        self.sum = self.sum.extended(checksum, more)?;
        self.session.state.lock().set(self.sum);
        Ok(())
    }
}

impl Drop for Operation<'_> {
    fn drop(&mut self) {
        self.session.state.lock().busy = false;
        self.session.idle.notify_one();
    }
}

/// Calls `allocate` with flags that let it neither sleep nor reclaim memory.
///
/// If the memory of the caller's control group is used up, the group is not charged for these few
/// bytes. It is charged for the open file itself.
fn without_sleep<T>(allocate: impl Fn(Flags) -> Result<T>) -> Result<T> {
    let account = GFP_KERNEL_ACCOUNT & !GFP_KERNEL;
    allocate(GFP_NOWAIT | account | __GFP_NOWARN).or_else(|_| allocate(GFP_ATOMIC))
}

/// Handles [`uapi::NR_DIGEST`]. Returns the checksum.
pub(super) fn digest(digest: &uapi::Digest) -> Result<u32> {
    let start = Adler32::from_value(digest.value).ok_or(EINVAL)?;
    if digest.reserved != 0 || digest.length > uapi::MAX_BUFFER {
        return Err(EINVAL);
    }
    Ok(input::append_user(start, digest.address, digest.length)?.value())
}

#[kunit_tests(adler32_sessions)]
mod tests {
    use super::*;
    use crate::{
        chrdev::slot::test_user,
        uapi::MAX_LENGTH, //
    };

    const EMPTY: uapi::State = state(1, 0);
    const ABC: uapi::State = state(0x024d_0127, 3);

    const fn state(value: u32, length: u64) -> uapi::State {
        uapi::State {
            value,
            reserved: 0,
            length,
        }
    }

    fn session_of(uid: u32, mode: Mode, slots: &Arc<Slots>) -> Result<Pin<KBox<Session>>> {
        Session::open(mode, test_user(uid), slots)
    }

    fn private() -> Result<Pin<KBox<Session>>> {
        session_of(1, Mode::Private, &Slots::new()?)
    }

    #[test]
    fn slots_are_published_at_the_last_close() -> Result {
        let slots = Slots::new()?;
        let slot = |uid| session_of(uid, Mode::View, &slots)?.get();
        let first = session_of(1, Mode::Replace, &slots)?;
        assert_eq!(first.get(), Ok(EMPTY));
        first.set_state(ABC)?;
        assert_eq!(slot(1), Ok(EMPTY));
        first.publish();
        assert_eq!(slot(1), Ok(ABC));
        assert_eq!(slot(2), Ok(EMPTY));

        let second = session_of(1, Mode::Append, &slots)?;
        assert_eq!(second.get(), Ok(ABC));
        second.combine(state(0x012f_00ca, 2))?;
        second.publish();
        assert_eq!(slot(1), Ok(state(0x05c8_01f0, 5)));
        Ok(())
    }

    /// The kernel opens misc devices under a lock that all of them share.
    #[test]
    fn opening_never_sleeps() -> Result {
        let slots = Slots::new()?;
        let session = session_of(1, Mode::Replace, &slots)?;
        session.set_state(ABC)?;
        session.publish();
        // A kernel with detectors reports a call that may sleep under a spinlock.
        pin_init::stack_pin_init!(let lock = new_spinlock!(()));
        let guard = lock.lock();
        for mode in [
            Mode::View,
            Mode::Replace,
            Mode::Append,
            Mode::Private,
            Mode::IoctlOnly,
        ] {
            session_of(1, mode, &slots)?;
        }
        drop(guard);
        Ok(())
    }

    #[test]
    fn other_modes_publish_nothing() -> Result {
        let slots = Slots::new()?;
        session_of(1, Mode::Replace, &slots)?.publish();
        for mode in [Mode::View, Mode::Private, Mode::IoctlOnly] {
            let session = session_of(1, mode, &slots)?;
            assert_eq!(session.get(), Ok(EMPTY));
            session.set_state(ABC)?;
            session.publish();
            let slot = session_of(1, Mode::View, &slots)?.get();
            assert_eq!(slot, Ok(EMPTY));
        }
        Ok(())
    }

    #[test]
    fn views_are_taken_when_reading_starts() -> Result {
        let slots = Slots::new()?;
        let view = session_of(1, Mode::View, &slots)?;
        let writer = session_of(1, Mode::Replace, &slots)?;
        writer.set_state(ABC)?;
        writer.publish();
        assert_eq!(view.snapshot(), ABC);
        assert_eq!(view.text(Position::Text(4), Wait::Yes)?, *b"024d0127\n");
        writer.reset()?;
        writer.publish();
        assert_eq!(view.snapshot(), ABC);
        assert_eq!(view.text(Position::Text(4), Wait::Yes)?, *b"024d0127\n");
        assert_eq!(view.text(Position::Text(0), Wait::Yes)?, *b"00000001\n");
        assert_eq!(view.get(), Ok(EMPTY));
        Ok(())
    }

    #[test]
    fn operations_keep_the_session_busy() -> Result {
        let session = private()?;
        for sum in [ABC, EMPTY] {
            let before = session.snapshot();
            let mut operation = session.begin(|_| Ok(()))?;
            assert!(session.state.lock().busy);
            assert_eq!(session.snapshot(), before);
            operation.sum = Sum::EMPTY;
            operation.append(Adler32::from_value(sum.value).ok_or(EINVAL)?, sum.length)?;
            assert_eq!(session.snapshot(), sum);
            assert!(session.state.lock().busy);
            drop(operation);
            assert!(!session.state.lock().busy);
            assert_eq!(session.get(), Ok(sum));
        }
        Ok(())
    }

    #[test]
    fn lengths_are_limited() -> Result {
        let session = private()?;
        let longest = state(1, MAX_LENGTH);
        assert_eq!(session.set_state(state(1, MAX_LENGTH + 1)), Err(EINVAL));
        session.set_state(longest)?;
        let one_byte = uapi::Buffer {
            address: 0,
            length: 1,
        };
        assert_eq!(session.update(one_byte), Err(EOVERFLOW));
        assert_eq!(session.combine(state(1, 1)), Err(EOVERFLOW));
        assert_eq!(
            session.begin(|_| Ok(()))?.append(Adler32::EMPTY, 1),
            Err(EOVERFLOW)
        );
        assert_eq!(session.combine(EMPTY), Ok(()));
        assert_eq!(session.get(), Ok(longest));
        Ok(())
    }

    #[test]
    fn impossible_states_are_refused() -> Result {
        let session = private()?;
        session.set_state(ABC)?;
        let reserved = uapi::State { reserved: 1, ..ABC };
        for wrong in [state(0xfff1, 1), state(0xfff1_0000, 1), reserved] {
            assert_eq!(session.set_state(wrong), Err(EINVAL));
            assert_eq!(session.combine(wrong), Err(EINVAL));
        }
        assert_eq!(session.get(), Ok(ABC));
        Ok(())
    }
}
