// SPDX-License-Identifier: GPL-2.0

//! The device `/dev/adler32`.
//!
//! Each open file is a session, and each user has one slot. A user's slot is the one of the user
//! who opens the file. See adler32(4).
//!
//! | opened with           | the session starts as                      | the last close          |
//! |-----------------------|--------------------------------------------|-------------------------|
//! | `O_WRONLY`            | empty                                      | stores it in the slot   |
//! | `O_WRONLY\|O_APPEND`  | the slot                                   | stores it in the slot   |
//! | `O_RDONLY`            | a view of the slot when reading starts     | discards it             |
//! | `O_RDWR`              | empty                                      | discards it             |
//! | 3 (for ioctls only)   | empty                                      | discards it             |
//!
//! A session that no operation has changed replaces no newer slot.

mod input;
mod position;
mod session;
mod slot;
mod sum;

use core::{
    ffi::CStr,
    mem::size_of,
    pin::Pin, //
};

use kernel::{
    ffi::c_int,
    fs::{
        file::flags,
        File,
        Kiocb, //
    },
    ioctl::{
        _IO,
        _IOR,
        _IOW,
        _IOWR, //
    },
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::Arc,
    transmute::{
        AsBytes,
        FromBytes, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

use self::{
    position::Position,
    session::{
        Mode,
        Session, //
    },
    slot::{
        Slots,
        User, //
    }, //
};
use crate::{
    kernel_ext::{
        kiocb::Wait,
        miscdevice::Device, //
    },
    platform,
    uapi,
    VERSION, //
};

const TYPE: u32 = uapi::IOC_TYPE as u32;
const RESET: u32 = _IO(TYPE, uapi::NR_RESET as u32);
const GET: u32 = _IOR::<uapi::State>(TYPE, uapi::NR_GET as u32);
const SET: u32 = _IOW::<uapi::State>(TYPE, uapi::NR_SET as u32);
const UPDATE: u32 = _IOW::<uapi::Buffer>(TYPE, uapi::NR_UPDATE as u32);
const DIGEST: u32 = _IOWR::<uapi::Digest>(TYPE, uapi::NR_DIGEST as u32);
const COMBINE: u32 = _IOW::<uapi::State>(TYPE, uapi::NR_COMBINE as u32);
const INFO: u32 = _IOR::<uapi::Info>(TYPE, uapi::NR_INFO as u32);

// SAFETY: The members are integers, so any bytes are a value of the type.
unsafe impl FromBytes for uapi::State {}
// SAFETY: The members are integers without padding between or after them.
unsafe impl AsBytes for uapi::State {}
// SAFETY: The members are integers, so any bytes are a value of the type.
unsafe impl FromBytes for uapi::Buffer {}
// SAFETY: The members are integers, so any bytes are a value of the type.
unsafe impl FromBytes for uapi::Digest {}
// SAFETY: The members are integers without padding between or after them.
unsafe impl AsBytes for uapi::Digest {}
// SAFETY: The members are integers and arrays of bytes without padding between or after them.
unsafe impl AsBytes for uapi::Info {}

pub(crate) struct Adler32Device;

/// Makes the slots, which all open files share.
pub(crate) fn shared() -> Result<Arc<Slots>> {
    Slots::new()
}

impl Device for Adler32Device {
    const NAME: &'static CStr = uapi::DEVICE_NAME;

    type Data = Arc<Slots>;
    type Session = Pin<KBox<Session>>;

    fn open(slots: &Arc<Slots>, file: &File) -> Result<(Self::Session, i64)> {
        // The VFS would accept this open and then refuse the flag. It would release the file as if
        // it had been in use, and the empty session would replace the slot.
        if file.flags() & flags::O_DIRECT != 0 {
            return Err(EINVAL);
        }
        let mode = match file.flags() & flags::O_ACCMODE {
            flags::O_RDONLY => Mode::View,
            flags::O_WRONLY if file.flags() & flags::O_APPEND != 0 => Mode::Append,
            flags::O_WRONLY => Mode::Replace,
            flags::O_RDWR => Mode::Private,
            _ => Mode::IoctlOnly,
        };
        let session = Session::open(mode, User::new(file.cred()), slots)?;
        Ok((session, mode.start()))
    }

    fn release(session: Self::Session) {
        session.publish();
    }

    fn llseek(
        session: Pin<&Session>,
        position: &mut i64,
        offset: i64,
        whence: c_int,
    ) -> Result<i64> {
        session.seek(position, offset, whence)
    }

    fn read_iter(mut kiocb: Kiocb<'_, Self::Session>, iov: &mut IovIterDest<'_>) -> Result<usize> {
        let session = kiocb.file();
        let position = session.position(kiocb.ki_pos());
        let text = session.text(position, Wait::of(&kiocb))?;
        let mut in_text = position.in_text();
        let read = iov.simple_read_from_buffer(&mut in_text, &text)?;
        if read == 0 && !iov.is_empty() && in_text < text.len() as i64 {
            return Err(EFAULT);
        }
        if read > 0 {
            session.has_read(position);
        }
        *kiocb.ki_pos_mut() += read as i64;
        Ok(read)
    }

    fn write_iter(
        mut kiocb: Kiocb<'_, Self::Session>,
        iov: &mut IovIterSource<'_>,
    ) -> Result<usize> {
        let session = kiocb.file();
        let position = session.position(kiocb.ki_pos());
        let written = session.write(position, iov, Wait::of(&kiocb))?;
        *kiocb.ki_pos_mut() = match position {
            // The next read returns the text of the new value.
            Position::Text(_) => session.mode().start(),
            Position::Offset(offset) => offset + written as i64,
        };
        Ok(written)
    }

    fn ioctl(session: Pin<&Session>, cmd: u32, arg: usize) -> Result<isize> {
        match cmd {
            RESET | SET | UPDATE | COMBINE if !session.is_writable() => return Err(EBADF),
            RESET => session.reset()?,
            GET => write_struct(arg, &session.get()?)?,
            SET => session.set_state(read_struct(arg)?)?,
            UPDATE => session.update(read_struct(arg)?)?,
            DIGEST => {
                let mut digest: uapi::Digest = read_struct(arg)?;
                digest.value = session::digest(&digest)?;
                write_struct(arg, &digest)?;
            }
            COMBINE => session.combine(read_struct(arg)?)?,
            INFO => write_struct(arg, &info())?,
            _ => return Err(ENOTTY),
        }
        Ok(0)
    }

    fn show_fdinfo(session: Pin<&Session>, m: &SeqFile) {
        let sum = session.snapshot();
        seq_print!(m, "adler32-value:\t{:08x}\n", sum.value);
        seq_print!(m, "adler32-length:\t{}\n", sum.length);
        seq_print!(m, "adler32-mode:\t{}\n", session.mode().name());
        seq_print!(m, "adler32-implementation:\t{}\n", platform::name());
    }
}

/// Reads the argument of an ioctl.
fn read_struct<T: FromBytes>(address: usize) -> Result<T> {
    UserSlice::new(UserPtr::from_addr(address), size_of::<T>())
        .reader()
        .read()
}

/// Writes the result of an ioctl.
fn write_struct<T: AsBytes>(address: usize, value: &T) -> Result {
    UserSlice::new(UserPtr::from_addr(address), size_of::<T>())
        .writer()
        .write(value)
}

fn info() -> uapi::Info {
    uapi::Info {
        abi_version: uapi::ABI_VERSION,
        reserved: 0,
        implementation: padded(platform::name()),
        module_version: padded(VERSION),
    }
}

/// Returns the beginning of `string` that leaves room for a final NUL, padded with NULs.
fn padded<const N: usize>(string: &str) -> [u8; N] {
    let mut array = [0; N];
    for (to, from) in array.iter_mut().take(N - 1).zip(string.bytes()) {
        *to = from;
    }
    array
}
