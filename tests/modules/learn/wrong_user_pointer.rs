// SPDX-License-Identifier: GPL-2.0

//! WRONG ON PURPOSE, for `docs/learn.md`: whoever can open `/dev/wrong-user-pointer` can read all of
//! the kernel's memory. Never load this outside a virtual machine.
//!
//! Two ioctls take the same structure, fetch eight bytes from the address in it and return them.
//! One believes the address, the other asks whether it is the caller's.

use kernel::fs::File;
use kernel::ioctl::_IOWR;
use kernel::miscdevice::MiscDevice;
use kernel::miscdevice::MiscDeviceOptions;
use kernel::miscdevice::MiscDeviceRegistration;
use kernel::prelude::*;
use kernel::uaccess::UserPtr;
use kernel::uaccess::UserSlice;

module! {
    type: WrongModule,
    name: "wrong_user_pointer",
    authors: ["The adler32 authors"],
    description: "WRONG ON PURPOSE: lets everybody read the kernel's memory",
    license: "GPL",
}

/// The argument of both ioctls: an address, and the bytes found there.
type Fetch = [u64; 2];

const WRONG: u32 = _IOWR::<Fetch>('!' as u32, 0);
const RIGHT: u32 = _IOWR::<Fetch>('!' as u32, 1);

struct Wrong;

#[vtable]
impl MiscDevice for Wrong {
    type Ptr = KBox<Self>;

    fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<KBox<Self>> {
        Ok(KBox::new(Self, GFP_KERNEL)?)
    }

    fn ioctl(_device: &Self, _file: &File, cmd: u32, arg: usize) -> Result<isize> {
        let argument = UserSlice::new(UserPtr::from_addr(arg), size_of::<Fetch>());
        let (mut reader, mut writer) = argument.reader_writer();
        let [address, _]: Fetch = reader.read()?;
        let bytes: u64 = match cmd {
            // SAFETY: None, and this is the hole: the address is what a program says it is.
            WRONG => unsafe { (address as *const u64).read_unaligned() },
            RIGHT => UserSlice::new(UserPtr::from_addr(address as usize), size_of::<u64>())
                .reader()
                .read()?,
            _ => return Err(ENOTTY),
        };
        writer.write(&[address, bytes])?;
        Ok(0)
    }
}

#[pin_data]
struct WrongModule {
    #[pin]
    _device: MiscDeviceRegistration<Wrong>,
}

impl kernel::InPlaceModule for WrongModule {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _device <- MiscDeviceRegistration::register(MiscDeviceOptions {
                name: c"wrong-user-pointer",
            }),
        })
    }
}
