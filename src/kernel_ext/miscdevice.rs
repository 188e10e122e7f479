// SPDX-License-Identifier: GPL-2.0

//! Misc devices that keep their module loaded.
//!
//! Before Linux 7.3, [`kernel::miscdevice`] does not set `file_operations.owner`: the module can be
//! unloaded while the device is open, and the next operation on the file runs code that has been
//! freed. A [`Registration`] takes the file operations that the `kernel` crate builds and adds the
//! owner. It also adds what that abstraction offers in no version: data that all open files share,
//! the mode of the node, negative positions, `lseek`, `splice`, and an `fsync` with nothing to do.
//!
//! C headers: [`include/linux/miscdevice.h`](srctree/include/linux/miscdevice.h)

use core::{
    ffi::CStr,
    marker::PhantomData, //
};

use kernel::{
    bindings,
    error::to_result,
    ffi::c_int,
    fs::{
        File,
        Kiocb, //
    },
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    miscdevice::{
        MiscDevice,
        MiscDeviceOptions,
        MiscDeviceRegistration, //
    },
    prelude::*,
    seq_file::SeqFile,
    types::{
        ForeignOwnable,
        Opaque, //
    }, //
};

type Borrowed<'a, T> = <<T as Device>::Session as ForeignOwnable>::Borrowed<'a>;

/// A misc device that is always ready for reading and writing.
pub(crate) trait Device: Sized + 'static {
    /// The name of the node below `/dev`.
    const NAME: &'static CStr;

    /// The data that all open files share.
    type Data: Send + Sync;
    /// A pointer to the data of one open file.
    type Session: ForeignOwnable + Send + Sync;

    /// Called for each `open(2)`. Returns the data of the open file and its initial position.
    fn open(data: &Self::Data, file: &File) -> Result<(Self::Session, i64)>;
    /// Called after the last reference to an open file is dropped.
    fn release(session: Self::Session);
    /// Called for each `lseek(2)`, with the position of the file. Returns the result of the call.
    fn llseek(
        session: Borrowed<'_, Self>,
        position: &mut i64,
        offset: i64,
        whence: c_int,
    ) -> Result<i64>;
    /// Called for each read. Returns the number of bytes read.
    fn read_iter(kiocb: Kiocb<'_, Self::Session>, iov: &mut IovIterDest<'_>) -> Result<usize>;
    /// Called for each write. Returns the number of bytes consumed.
    fn write_iter(kiocb: Kiocb<'_, Self::Session>, iov: &mut IovIterSource<'_>) -> Result<usize>;
    /// Called for each ioctl, also of 32-bit callers. The layout of the structures passed must not
    /// depend on the word size.
    fn ioctl(session: Borrowed<'_, Self>, cmd: u32, arg: usize) -> Result<isize>;
    /// Adds lines to `/proc/PID/fdinfo/FD`.
    fn show_fdinfo(session: Borrowed<'_, Self>, m: &SeqFile);
}

/// The registration of a [`Device`].
///
/// # Invariants
///
/// `misc` is registered as a misc device with the file operations [`Adapter::FOPS`].
// `repr(C)` puts `misc` at the address of the registration, where `Adapter::open()` relies on it.
#[repr(C)]
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<T: Device> {
    #[pin]
    misc: Opaque<bindings::miscdevice>,
    data: T::Data,
}

// SAFETY: `misc_deregister()` may be called from any thread, and `data` is `Send`.
unsafe impl<T: Device> Send for Registration<T> {}
// SAFETY: A shared reference gives access to `data` only, which is `Sync`.
unsafe impl<T: Device> Sync for Registration<T> {}

impl<T: Device> Registration<T> {
    /// Registers the device. `mode` contains the permission bits of the node.
    ///
    /// Opening the device fails until the module's initialization has succeeded, because a module
    /// is unloaded when its initialization fails, even if it is in use.
    pub(crate) fn register(mode: u16, data: T::Data) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            data,
            // INVARIANT: If this succeeds, `misc` is registered.
            misc <- Opaque::try_ffi_init(move |slot: *mut bindings::miscdevice| {
                let mut misc = Adapter::<T>::OPTIONS.into_raw::<Adapter<T>>();
                misc.fops = &Adapter::<T>::FOPS;
                misc.mode = mode;
                // SAFETY: `try_ffi_init()` passes a pointer that is valid for writes.
                unsafe { slot.write(misc) };
                // SAFETY: `slot` contains a complete misc device. It is pinned, and `Drop`
                // deregisters it, so it is not moved or freed while it is registered.
                to_result(unsafe { bindings::misc_register(slot) }).inspect_err(|error| {
                    pr_err!("cannot register the device {}: {:?}\n", T::NAME, error);
                })
            }),
        })
    }
}

#[pinned_drop]
impl<T: Device> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant, `misc` is registered. Nothing uses it after this.
        unsafe { bindings::misc_deregister(self.misc.get()) };
    }
}

/// Translates between [`Device`] and [`MiscDevice`].
///
/// # Invariants
///
/// A [`MiscDeviceRegistration`] of this type is always the `misc` of a [`Registration`]: the type
/// is private, and nothing else registers it.
struct Adapter<T>(PhantomData<T>);

impl<T: Device> Adapter<T> {
    const OPTIONS: MiscDeviceOptions = MiscDeviceOptions { name: T::NAME };

    // `poll` is missing on purpose. Without it, the file always counts as ready. With it, io_uring
    // would expect reads and writes not to block.
    const FOPS: bindings::file_operations = bindings::file_operations {
        owner: &raw mut bindings::__this_module,
        fop_flags: bindings::FOP_UNSIGNED_OFFSET,
        llseek: Some(Self::llseek),
        fsync: Some(bindings::noop_fsync),
        splice_read: Some(bindings::copy_splice_read),
        splice_write: Some(bindings::iter_file_splice_write),
        // SAFETY: `into_raw()` sets `fops` to the address of a constant, which is always valid.
        ..unsafe { *Self::OPTIONS.into_raw::<Self>().fops }
    };

    /// Sets the position of an open file.
    ///
    /// # Safety
    ///
    /// `file` must point to an open file of this device, and must be valid for the duration of the
    /// call.
    unsafe extern "C" fn llseek(file: *mut bindings::file, offset: i64, whence: c_int) -> i64 {
        // SAFETY: The VFS calls this with a file that its caller holds open. `MiscDevice::open()`
        // has stored a session in it, which stays there until the file is released.
        let session = unsafe { T::Session::borrow((*file).private_data) };
        // SAFETY: The file is valid as above. As in the VFS, nothing excludes that another thread
        // changes the position at the same time. One of the two values is then lost.
        let mut position = unsafe { (&raw const (*file).f_pos).read_volatile() };
        let result = T::llseek(session, &mut position, offset, whence);
        // SAFETY: As above.
        unsafe { (&raw mut (*file).f_pos).write_volatile(position) };
        result.unwrap_or_else(|error| error.to_errno().into())
    }
}

/// Returns whether the initialization of this module has succeeded.
fn module_is_live() -> bool {
    // SAFETY: The module exists, since this function is part of its code. The module loader may
    // write to the state at the same time, hence the volatile read.
    let state = unsafe { (&raw const bindings::__this_module.state).read_volatile() };
    state == bindings::module_state_MODULE_STATE_LIVE
}

#[vtable]
impl<T: Device> MiscDevice for Adapter<T> {
    type Ptr = T::Session;

    fn open(file: &File, misc: &MiscDeviceRegistration<Self>) -> Result<Self::Ptr> {
        if !module_is_live() {
            return Err(ENODEV);
        }
        let registration = misc.as_raw().cast::<Registration<T>>();
        // SAFETY: By the type invariant, `misc` is the first member of a `Registration<T>`, whose
        // data was initialized before it registered the device. `misc_open()` calls this with
        // `misc_mtx` held. The registration's `Drop` takes that mutex to deregister the device, so
        // it waits until this call has returned.
        let (session, position) = T::open(unsafe { &(*registration).data }, file)?;
        // SAFETY: The file is being opened, and nothing else uses it yet.
        unsafe { (*file.as_ptr()).f_pos = position };
        Ok(session)
    }

    fn release(session: Self::Ptr, _file: &File) {
        T::release(session);
    }

    fn read_iter(kiocb: Kiocb<'_, Self::Ptr>, iov: &mut IovIterDest<'_>) -> Result<usize> {
        T::read_iter(kiocb, iov)
    }

    fn write_iter(kiocb: Kiocb<'_, Self::Ptr>, iov: &mut IovIterSource<'_>) -> Result<usize> {
        T::write_iter(kiocb, iov)
    }

    fn ioctl(session: Borrowed<'_, T>, _file: &File, cmd: u32, arg: usize) -> Result<isize> {
        T::ioctl(session, cmd, arg)
    }

    fn show_fdinfo(session: Borrowed<'_, T>, m: &SeqFile, _file: &File) {
        T::show_fdinfo(session, m);
    }
}
