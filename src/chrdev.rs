// SPDX-License-Identifier: GPL-2.0

//! The device `/dev/adler32`: a file that holds one checksum per user.
//!
//! | open                  | session starts as   | at last close     |
//! |-----------------------|---------------------|-------------------|
//! | `O_WRONLY`            | empty               | to the slot   |
//! | `O_WRONLY\|O_APPEND`  | the slot        | to the slot   |
//! | `O_RDONLY`            | a view of the slot, taken when reading starts | |
//! | `O_RDWR`              | empty, private      |                   |
//! | 3 (for ioctls only)   | empty, private      |                   |
//!
//! The slot is that of the user who opens the file. See adler32(4).

mod slot;
mod session;
mod input;

use self::slot::Slots;
use self::session::Mode;
use self::session::Session;
use crate::platform;
use crate::kernel_ext::cred::in_initial_user_ns;
use crate::kernel_ext::miscdevice::Device;
use crate::uapi;
use crate::VERSION;
use core::ffi::CStr;
use core::mem::size_of;
use core::pin::Pin;
use kernel::fs::file::flags;
use kernel::fs::File;
use kernel::fs::Kiocb;
use kernel::ioctl::_IO;
use kernel::ioctl::_IOR;
use kernel::ioctl::_IOW;
use kernel::ioctl::_IOWR;
use kernel::iov::IovIterDest;
use kernel::iov::IovIterSource;
use kernel::prelude::*;
use kernel::seq_file::SeqFile;
use kernel::seq_print;
use kernel::sync::Arc;
use kernel::transmute::AsBytes;
use kernel::transmute::FromBytes;
use kernel::uaccess::UserPtr;
use kernel::uaccess::UserSlice;

const TYPE: u32 = uapi::IOC_TYPE as u32;
const RESET: u32 = _IO(TYPE, uapi::NR_RESET as u32);
const GET: u32 = _IOR::<uapi::State>(TYPE, uapi::NR_GET as u32);
const SET: u32 = _IOW::<uapi::State>(TYPE, uapi::NR_SET as u32);
const UPDATE: u32 = _IOW::<uapi::Buffer>(TYPE, uapi::NR_UPDATE as u32);
const DIGEST: u32 = _IOWR::<uapi::Digest>(TYPE, uapi::NR_DIGEST as u32);
const COMBINE: u32 = _IOW::<uapi::State>(TYPE, uapi::NR_COMBINE as u32);
const INFO: u32 = _IOR::<uapi::Info>(TYPE, uapi::NR_INFO as u32);

// SAFETY: Any bytes are a value of the type.
unsafe impl FromBytes for uapi::State {}
// SAFETY: The type has no padding.
unsafe impl AsBytes for uapi::State {}
// SAFETY: Any bytes are a value of the type.
unsafe impl FromBytes for uapi::Buffer {}
// SAFETY: Any bytes are a value of the type.
unsafe impl FromBytes for uapi::Digest {}
// SAFETY: The type has no padding.
unsafe impl AsBytes for uapi::Digest {}
// SAFETY: The type has no padding.
unsafe impl AsBytes for uapi::Info {}

pub(crate) struct Adler32Device;

/// Makes what all open files share: the slots.
pub(crate) fn shared() -> Result<Arc<Slots>> {
    Arc::pin_init(Slots::new(), GFP_KERNEL)
}

impl Device for Adler32Device {
    const NAME: &'static CStr = uapi::DEVICE_NAME;
    const SIZE: i64 = session::TEXT_LEN as i64;

    type Data = Arc<Slots>;
    type Session = Pin<KBox<Session>>;

    fn open(slots: &Arc<Slots>, file: &File) -> Result<Self::Session> {
        // After this call the VFS would refuse the flag and release the file, as if it had been in
        // use: its session would become the slot.
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
        let owner = file.cred().euid();
        if mode.has_slot() {
            slots.reserve(owner, in_initial_user_ns(file.cred()))?;
        }
        KBox::pin_init(Session::new(mode, owner, slots), GFP_KERNEL_ACCOUNT)
    }

    fn release(session: Self::Session) {
        session.publish();
    }

    fn read_iter(mut kiocb: Kiocb<'_, Self::Session>, iov: &mut IovIterDest<'_>) -> Result<usize> {
        let text = kiocb.file().text(kiocb.ki_pos())?;
        let read = iov.simple_read_from_buffer(kiocb.ki_pos_mut(), &text)?;
        if read == 0 && !iov.is_empty() && kiocb.ki_pos() < Self::SIZE {
            return Err(EFAULT);
        }
        Ok(read)
    }

    fn write_iter(
        mut kiocb: Kiocb<'_, Self::Session>,
        iov: &mut IovIterSource<'_>,
    ) -> Result<usize> {
        // What is read next is the text of the new value.
        *kiocb.ki_pos_mut() = 0;
        kiocb.file().write(iov)
    }

    fn ioctl(session: Pin<&Session>, cmd: u32, arg: usize) -> Result<isize> {
        match cmd {
            RESET | SET | UPDATE | COMBINE if !session.is_writable() => return Err(EBADF),
            RESET => session.reset()?,
            GET => write_struct(arg, &session.get()?)?,
            SET => session.set(read_struct(arg)?)?,
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
        let (value, length) = session.glance();
        seq_print!(m, "adler32-value:\t{value:08x}\n");
        seq_print!(m, "adler32-length:\t{length}\n");
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

/// Returns as much of `string` as fits before a final NUL, filled up with NULs.
fn padded<const N: usize>(string: &str) -> [u8; N] {
    let mut array = [0; N];
    for (to, from) in array.iter_mut().take(N - 1).zip(string.bytes()) {
        *to = from;
    }
    array
}
