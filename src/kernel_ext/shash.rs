// SPDX-License-Identifier: GPL-2.0

//! Synchronous hashes of the crypto API.
//!
//! C headers: [`include/crypto/hash.h`](srctree/include/crypto/hash.h),
//! [`include/crypto/internal/hash.h`](srctree/include/crypto/internal/hash.h)
//!
//! Reference: <https://docs.kernel.org/crypto/architecture.html>

use core::{
    marker::PhantomData,
    mem::{
        align_of,
        needs_drop,
        size_of, //
    }, //
};

use kernel::{
    bindings,
    error::{
        from_result,
        to_result, //
    },
    ffi::{
        c_char,
        c_int,
        c_uint,
        c_void, //
    },
    prelude::*,
    transmute::{
        AsBytes,
        FromBytes, //
    },
    types::Opaque, //
};

use super::raw::{
    self,
    layout, //
};

/// A synchronous hash algorithm with an optional key.
///
/// Neither [`Self::Transform`] nor [`Self::Descriptor`] may need to be dropped, because the crypto
/// API frees transforms and descriptors as plain memory.
pub(crate) trait Shash: Sized + 'static {
    /// `cra_name`: the name of the algorithm, such as `sha256`.
    const NAME: &'static CStr;
    /// `cra_driver_name`: the name of this implementation of the algorithm, such as
    /// `sha256-generic`.
    const DRIVER_NAME: &'static CStr;
    /// `cra_priority`: users who request an algorithm by its name get the implementation with the
    /// highest priority.
    const PRIORITY: c_int;
    /// `cra_blocksize`: the number of bytes in the units that the algorithm processes.
    const BLOCK_SIZE: c_uint;

    /// The key, which the users of a transform share.
    type Transform: Send + Sync;
    /// The running state of one hash.
    type Descriptor: Copy + Send;
    /// The result, an array of bytes.
    type Digest: AsBytes;
    /// The exported form of a running state, an array of bytes.
    type State: AsBytes + FromBytes;

    /// Returns a transform without a key.
    fn new_transform() -> Self::Transform;
    /// Sets the key. If this fails, it must leave the transform unchanged.
    fn set_key(transform: &Self::Transform, key: &[u8]) -> Result;
    /// Begins a hash.
    fn init(transform: &Self::Transform) -> Self::Descriptor;
    /// Continues a hash.
    ///
    /// User space may be able to write to the data during this call. The hash of data that changes
    /// is undefined, but nothing worse may happen.
    fn update(descriptor: &mut Self::Descriptor, data: &[u8]);
    /// Returns the hash of all data so far.
    fn digest(descriptor: &Self::Descriptor) -> Self::Digest;
    /// Exports a running state.
    fn export(descriptor: &Self::Descriptor) -> Self::State;
    /// Imports a running state, or returns an error if it is impossible.
    fn import(state: Self::State) -> Result<Self::Descriptor>;
}

/// The registration of a [`Shash`].
///
/// # Invariants
///
/// `alg` is registered with the crypto API.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<T: Shash> {
    #[pin]
    alg: Opaque<raw::shash_alg>,
    _shash: PhantomData<T>,
}

// SAFETY: `crypto_unregister_shash()` may be called from any thread.
unsafe impl<T: Shash> Send for Registration<T> {}
// SAFETY: No method takes a shared reference, and the fields are private.
unsafe impl<T: Shash> Sync for Registration<T> {}

impl<T: Shash> Registration<T> {
    /// Registers the algorithm. This module cannot be unloaded while the algorithm is in use.
    ///
    /// This must be the last step of the module's initialization that can fail, because a module is
    /// unloaded when its initialization fails, even if it is in use.
    pub(crate) fn register() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // INVARIANT: If this succeeds, `alg` is registered.
            alg <- Opaque::try_ffi_init(|slot: *mut raw::shash_alg| {
                // SAFETY: `try_ffi_init()` passes a pointer that is valid for writes.
                unsafe { slot.write(Callbacks::<T>::ALG) };
                // SAFETY: `slot` contains an algorithm whose callbacks work with its sizes. It is
                // pinned, and `Drop` unregisters it, so it is not moved or freed while it is
                // registered.
                to_result(unsafe { raw::crypto_register_shash(slot) }).inspect_err(|error| {
                    pr_err!("cannot register the hash {}: {:?}\n", T::DRIVER_NAME, error);
                })
            }),
            _shash: PhantomData,
        })
    }
}

#[pinned_drop]
impl<T: Shash> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant, `alg` is registered. It has no users, because each
        // transform holds a reference to `cra_module`, and this module is dropped only when nothing
        // holds a reference to it.
        unsafe { raw::crypto_unregister_shash(self.alg.get()) };
    }
}

/// The C callbacks of `T`.
struct Callbacks<T>(PhantomData<T>);

impl<T: Shash> Callbacks<T> {
    /// The algorithm that is registered.
    const ALG: raw::shash_alg = {
        assert!(!needs_drop::<T::Transform>() && !needs_drop::<T::Descriptor>());
        assert!(align_of::<T::Transform>() <= layout::SHASH_CTX_ALIGN);
        assert!(align_of::<T::Descriptor>() <= layout::SHASH_DESC_ALIGN);

        // SAFETY: The structure consists of integers, raw pointers, and optional function pointers,
        // and all of these may be zero.
        let mut alg: raw::shash_alg = unsafe { core::mem::zeroed() };
        alg.init = Some(Self::init);
        alg.update = Some(Self::update);
        alg.finup = Some(Self::finup);
        alg.export = Some(Self::export);
        alg.import = Some(Self::import);
        alg.setkey = Some(Self::setkey);
        alg.init_tfm = Some(Self::init_tfm);
        alg.descsize = size_of::<T::Descriptor>() as c_uint;
        alg.halg.digestsize = size_of::<T::Digest>() as c_uint;
        alg.halg.statesize = size_of::<T::State>() as c_uint;
        alg.halg.base.cra_name = name(T::NAME);
        alg.halg.base.cra_driver_name = name(T::DRIVER_NAME);
        alg.halg.base.cra_priority = T::PRIORITY;
        alg.halg.base.cra_flags = layout::OPTIONAL_KEY as u32;
        alg.halg.base.cra_blocksize = T::BLOCK_SIZE;
        alg.halg.base.cra_module = &raw mut bindings::__this_module;
        alg.halg.base.cra_ctxsize = size_of::<T::Transform>() as c_uint;
        alg
    };

    /// Returns the `T::Transform` inside `tfm`.
    ///
    /// # Safety
    ///
    /// `tfm` must be a valid transform of this algorithm for the duration of `'a`, and
    /// [`Self::init_tfm`] must have been called on it.
    unsafe fn transform<'a>(tfm: *mut raw::crypto_shash) -> &'a T::Transform {
        // SAFETY: The crypto API allocates `cra_ctxsize` bytes at this offset of each transform.
        // The caller guarantees that `init_tfm` has initialized them, and no mutable reference to
        // them is ever made.
        unsafe { &*tfm.byte_add(layout::SHASH_CTX).cast() }
    }

    /// Returns the address of the `T::Descriptor` inside `desc`.
    ///
    /// # Safety
    ///
    /// `desc` must be a valid descriptor of this algorithm.
    unsafe fn descriptor(desc: *mut raw::shash_desc) -> *mut T::Descriptor {
        // SAFETY: The caller guarantees that `desc` is valid. The crypto API requires its users to
        // allocate `descsize` bytes at this offset of each descriptor.
        unsafe { desc.byte_add(layout::SHASH_DESC_CTX) }.cast()
    }

    /// # Safety
    ///
    /// `tfm` must be a new transform of this algorithm.
    unsafe extern "C" fn init_tfm(tfm: *mut raw::crypto_shash) -> c_int {
        // SAFETY: The crypto API calls this once for each transform, after it has allocated
        // `cra_ctxsize` bytes at this offset, and before anything else uses them.
        unsafe {
            tfm.byte_add(layout::SHASH_CTX)
                .cast::<T::Transform>()
                .write(T::new_transform())
        };
        0
    }

    /// # Safety
    ///
    /// `tfm` must be a valid transform of this algorithm, and `key` must be valid for reads of
    /// `len` bytes.
    unsafe extern "C" fn setkey(tfm: *mut raw::crypto_shash, key: *const u8, len: c_uint) -> c_int {
        // SAFETY: `crypto_shash_setkey()` passes a transform that its caller holds. The crypto API
        // called `init_tfm` on it when it made it.
        let transform = unsafe { Self::transform(tfm) };
        // SAFETY: `crypto_shash_setkey()` passes the key of its caller, who does not change it
        // during the call.
        let key = unsafe { bytes(key, len) };
        from_result(|| T::set_key(transform, key).map(|()| 0))
    }

    /// # Safety
    ///
    /// `desc` must be a valid descriptor of this algorithm. It may be uninitialized except for its
    /// transform.
    unsafe extern "C" fn init(desc: *mut raw::shash_desc) -> c_int {
        // SAFETY: Users of the crypto API set the transform of a descriptor before they use it. The
        // crypto API called `init_tfm` on that transform when it made it.
        let transform = unsafe { Self::transform((*desc).tfm) };
        // SAFETY: `desc` is valid, and only its user, who called `crypto_shash_init()`, accesses
        // it.
        unsafe { Self::descriptor(desc).write(T::init(transform)) };
        0
    }

    /// # Safety
    ///
    /// `desc` must be an initialized descriptor of this algorithm, and `data` must be valid for
    /// reads of `len` bytes.
    unsafe extern "C" fn update(desc: *mut raw::shash_desc, data: *const u8, len: c_uint) -> c_int {
        // SAFETY: Users of the crypto API call `crypto_shash_init()` or `crypto_shash_import()` on
        // a descriptor before they update it, and only one of them accesses it at a time.
        let descriptor = unsafe { &mut *Self::descriptor(desc) };
        // SAFETY: `crypto_shash_update()` passes the data of its caller.
        T::update(descriptor, unsafe { bytes(data, len) });
        0
    }

    /// # Safety
    ///
    /// As for [`Self::update`]. In addition, `out` must be valid for writes of a digest.
    unsafe extern "C" fn finup(
        desc: *mut raw::shash_desc,
        data: *const u8,
        len: c_uint,
        out: *mut u8,
    ) -> c_int {
        // SAFETY: This function has the requirements of `update`. `crypto_shash_final()` passes a
        // null pointer and no bytes, which `update` accepts.
        unsafe { Self::update(desc, data, len) };
        // SAFETY: The descriptor is initialized and accessed by one user only, as in `update`.
        let descriptor = unsafe { &*Self::descriptor(desc) };
        // SAFETY: `crypto_shash_finup()` passes the buffer of its caller, which has room for
        // `digestsize` bytes. It may be unaligned.
        unsafe {
            out.cast::<T::Digest>()
                .write_unaligned(T::digest(descriptor))
        };
        0
    }

    /// # Safety
    ///
    /// `desc` must be an initialized descriptor of this algorithm, and `out` must be valid for
    /// writes of a state.
    unsafe extern "C" fn export(desc: *mut raw::shash_desc, out: *mut c_void) -> c_int {
        // SAFETY: The descriptor is initialized and accessed by one user only, as in `update`.
        let descriptor = unsafe { &*Self::descriptor(desc) };
        // SAFETY: `crypto_shash_export()` passes the buffer of its caller, which has room for
        // `statesize` bytes. It may be unaligned.
        unsafe {
            out.cast::<T::State>()
                .write_unaligned(T::export(descriptor))
        };
        0
    }

    /// # Safety
    ///
    /// `desc` must be a valid descriptor of this algorithm. It may be uninitialized except for its
    /// transform. `state` must be valid for reads of a state.
    unsafe extern "C" fn import(desc: *mut raw::shash_desc, state: *const c_void) -> c_int {
        // SAFETY: `crypto_shash_import()` passes the `statesize` bytes of its caller, which may be
        // unaligned. `T::State` is `FromBytes`, so any bytes are a value of it.
        let state = unsafe { state.cast::<T::State>().read_unaligned() };
        from_result(|| {
            // SAFETY: `desc` is valid, and only its user, who called `crypto_shash_import()`,
            // accesses it.
            unsafe { Self::descriptor(desc).write(T::import(state)?) };
            Ok(0)
        })
    }
}

/// Makes a slice from a pointer and a length that the crypto API passes.
///
/// # Safety
///
/// `data` must be valid for reads of `len` bytes for the duration of `'a`. If `len` is 0, `data`
/// may be null or invalid.
unsafe fn bytes<'a>(data: *const u8, len: c_uint) -> &'a [u8] {
    if len == 0 {
        return &[];
    }
    // SAFETY: The caller guarantees that the `len` bytes exist. The kernel does not change them,
    // but with AF_ALG, user space may, which Rust's rules for references do not allow. As in C, the
    // reader must accept any bytes: see `Shash::update`.
    unsafe { core::slice::from_raw_parts(data, len as usize) }
}

/// Converts a string to a `cra_name`. Called at build time only: a string that does not fit makes
/// the build fail.
const fn name(string: &CStr) -> [c_char; layout::ALG_NAME_SIZE] {
    let mut name = [0; layout::ALG_NAME_SIZE];
    let bytes = string.to_bytes_with_nul();
    let mut i = 0;
    while i < bytes.len() {
        name[i] = bytes[i] as c_char;
        i += 1;
    }
    name
}
