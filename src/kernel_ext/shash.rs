// SPDX-License-Identifier: GPL-2.0

//! Synchronous hashes of the crypto API.
//!
//! C headers: [`include/crypto/hash.h`](srctree/include/crypto/hash.h),
//! [`include/crypto/internal/hash.h`](srctree/include/crypto/internal/hash.h)
//!
//! Reference: <https://docs.kernel.org/crypto/architecture.html>

use super::raw;
use super::raw::layout;
use core::marker::PhantomData;
use core::mem::align_of;
use core::mem::needs_drop;
use core::mem::size_of;
use kernel::bindings;
use kernel::error::from_result;
use kernel::error::to_result;
use kernel::ffi::c_char;
use kernel::ffi::c_int;
use kernel::ffi::c_uint;
use kernel::ffi::c_void;
use kernel::prelude::*;
use kernel::transmute::AsBytes;
use kernel::transmute::FromBytes;
use kernel::types::Opaque;

/// A synchronous hash algorithm with an optional key.
///
/// The crypto API discards transforms and descriptors as plain memory; neither
/// [`Self::Transform`] nor [`Self::Descriptor`] may need to be dropped.
pub(crate) trait Shash: Sized + 'static {
    /// The algorithm, such as `sha256`: `cra_name`.
    const NAME: &'static CStr;
    /// This implementation of the algorithm, such as `sha256-generic`: `cra_driver_name`.
    const DRIVER_NAME: &'static CStr;
    /// Among the implementations of an algorithm, the one with the highest priority serves those
    /// who ask for the algorithm.
    const PRIORITY: c_int;
    /// The unit in which the algorithm consumes its input, in bytes.
    const BLOCK_SIZE: c_uint;

    /// What the users of a transform share: its key.
    type Transform: Send + Sync;
    /// The running state of one hash.
    type Descriptor: Copy + Send;
    /// The result, an array of bytes.
    type Digest: AsBytes;
    /// The running state in the form in which it is exported, an array of bytes.
    type State: AsBytes + FromBytes;

    /// Makes a transform without a key.
    fn new_transform() -> Self::Transform;
    /// Sets the key. On failure the transform must be as it was.
    fn set_key(transform: &Self::Transform, key: &[u8]) -> Result;
    /// Begins a hash.
    fn init(transform: &Self::Transform) -> Self::Descriptor;
    /// Continues a hash.
    ///
    /// The data may be pages that user space can write to meanwhile. The hash of data that changes
    /// is undefined, but must not become anything worse than that.
    fn update(descriptor: &mut Self::Descriptor, data: &[u8]);
    /// Returns the hash of everything so far.
    fn digest(descriptor: &Self::Descriptor) -> Self::Digest;
    /// Saves a running state.
    fn export(descriptor: &Self::Descriptor) -> Self::State;
    /// Restores a running state, unless it is one that cannot occur.
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

// SAFETY: An algorithm can be unregistered from any thread.
unsafe impl<T: Shash> Send for Registration<T> {}
// SAFETY: A shared reference gives access to nothing.
unsafe impl<T: Shash> Sync for Registration<T> {}

impl<T: Shash> Registration<T> {
    /// Registers the algorithm. This module cannot be unloaded while the algorithm is in use.
    ///
    /// A module whose initialization fails is unloaded even if it is in use. Therefore this must
    /// be the last step of the initialization that can fail.
    pub(crate) fn register() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // INVARIANT: If this succeeds, `alg` is registered.
            alg <- Opaque::try_ffi_init(|slot: *mut raw::shash_alg| {
                // SAFETY: The slot can be written to.
                unsafe { slot.write(Callbacks::<T>::ALG) };
                // SAFETY: `slot` holds an algorithm whose callbacks and sizes belong together. It
                // stays where it is until it is unregistered, since it is pinned and `Drop`
                // unregisters it.
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
        // SAFETY: By the type invariant, `alg` is registered. It is not in use: while it is, the
        // module's reference count keeps the module from being unloaded.
        unsafe { raw::crypto_unregister_shash(self.alg.get()) };
    }
}

/// The C callbacks of `T`.
struct Callbacks<T>(PhantomData<T>);

impl<T: Shash> Callbacks<T> {
    /// What is registered.
    const ALG: raw::shash_alg = {
        assert!(!needs_drop::<T::Transform>() && !needs_drop::<T::Descriptor>());
        assert!(align_of::<T::Transform>() <= layout::SHASH_CTX_ALIGN);
        assert!(align_of::<T::Descriptor>() <= layout::SHASH_DESC_ALIGN);

        // SAFETY: All members of the structure can be zero.
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

    /// Returns the transform's part of `tfm`.
    ///
    /// # Safety
    ///
    /// `tfm` must be a valid transform of this algorithm for the duration of `'a`, and
    /// [`Self::init_tfm`] must have been called on it.
    unsafe fn transform<'a>(tfm: *mut raw::crypto_shash) -> &'a T::Transform {
        // SAFETY: The crypto API allocates `cra_ctxsize` bytes there, and `init_tfm` has initialized
        // them. They are never referenced mutably.
        unsafe { &*tfm.byte_add(layout::SHASH_CTX).cast() }
    }

    /// Returns the place of the descriptor's part of `desc`.
    ///
    /// # Safety
    ///
    /// `desc` must be a valid descriptor of this algorithm.
    unsafe fn descriptor(desc: *mut raw::shash_desc) -> *mut T::Descriptor {
        // SAFETY: The crypto API's users allocate `descsize` bytes there.
        unsafe { desc.byte_add(layout::SHASH_DESC_CTX) }.cast()
    }

    /// # Safety
    ///
    /// Called by the crypto API once for each new transform of this algorithm.
    unsafe extern "C" fn init_tfm(tfm: *mut raw::crypto_shash) -> c_int {
        // SAFETY: The crypto API allocates `cra_ctxsize` bytes there, which nobody uses yet.
        unsafe {
            tfm.byte_add(layout::SHASH_CTX)
                .cast::<T::Transform>()
                .write(T::new_transform())
        };
        0
    }

    /// # Safety
    ///
    /// Called by the crypto API with a valid transform and `len` bytes at `key`.
    unsafe extern "C" fn setkey(tfm: *mut raw::crypto_shash, key: *const u8, len: c_uint) -> c_int {
        // SAFETY: The transform is valid, and `init_tfm` was called on it when it was made.
        let transform = unsafe { Self::transform(tfm) };
        // SAFETY: There are `len` bytes at `key`.
        let key = unsafe { bytes(key, len) };
        from_result(|| T::set_key(transform, key).map(|()| 0))
    }

    /// # Safety
    ///
    /// Called by the crypto API with a valid descriptor, which may be uninitialized.
    unsafe extern "C" fn init(desc: *mut raw::shash_desc) -> c_int {
        // SAFETY: `desc` is valid, and so is its transform, on which `init_tfm` was called when it
        // was made.
        let transform = unsafe { Self::transform((*desc).tfm) };
        // SAFETY: `desc` is valid, and the caller's alone.
        unsafe { Self::descriptor(desc).write(T::init(transform)) };
        0
    }

    /// # Safety
    ///
    /// Called by the crypto API with an initialized descriptor and `len` bytes at `data`.
    unsafe extern "C" fn update(desc: *mut raw::shash_desc, data: *const u8, len: c_uint) -> c_int {
        // SAFETY: The descriptor is initialized, and the caller's alone.
        let descriptor = unsafe { &mut *Self::descriptor(desc) };
        // SAFETY: There are `len` bytes at `data`.
        T::update(descriptor, unsafe { bytes(data, len) });
        0
    }

    /// # Safety
    ///
    /// Called by the crypto API with an initialized descriptor, `len` bytes at `data` and room for
    /// a digest at `out`. To finish without more data it passes no bytes at a null pointer.
    unsafe extern "C" fn finup(
        desc: *mut raw::shash_desc,
        data: *const u8,
        len: c_uint,
        out: *mut u8,
    ) -> c_int {
        // SAFETY: The requirements include those of `update`.
        unsafe { Self::update(desc, data, len) };
        // SAFETY: The descriptor is initialized, and the caller's alone.
        let descriptor = unsafe { &*Self::descriptor(desc) };
        // SAFETY: There is room for a digest at `out`.
        unsafe {
            out.cast::<T::Digest>()
                .write_unaligned(T::digest(descriptor))
        };
        0
    }

    /// # Safety
    ///
    /// Called by the crypto API with an initialized descriptor and room for a state at `out`.
    unsafe extern "C" fn export(desc: *mut raw::shash_desc, out: *mut c_void) -> c_int {
        // SAFETY: The descriptor is initialized, and the caller's alone.
        let descriptor = unsafe { &*Self::descriptor(desc) };
        // SAFETY: There is room for a state at `out`.
        unsafe {
            out.cast::<T::State>()
                .write_unaligned(T::export(descriptor))
        };
        0
    }

    /// # Safety
    ///
    /// Called by the crypto API with a valid descriptor, which may be uninitialized, and the bytes
    /// of a state at `state`.
    unsafe extern "C" fn import(desc: *mut raw::shash_desc, state: *const c_void) -> c_int {
        // SAFETY: There are the bytes of a state at `state`, and any bytes will do.
        let state = unsafe { state.cast::<T::State>().read_unaligned() };
        from_result(|| {
            // SAFETY: `desc` is valid, and the caller's alone.
            unsafe { Self::descriptor(desc).write(T::import(state)?) };
            Ok(0)
        })
    }
}

/// Makes a slice of what the crypto API passes.
///
/// # Safety
///
/// There must be `len` bytes at `data` for the duration of `'a`. If `len` is 0, `data` can be
/// anything.
unsafe fn bytes<'a>(data: *const u8, len: c_uint) -> &'a [u8] {
    if len == 0 {
        return &[];
    }
    // SAFETY: By the function requirements there are `len` bytes, which the kernel does not change.
    // With AF_ALG it may be user space that does, which Rust's rules for references do not allow
    // for. As with C, it is the reader that must not depend on the bytes: see `Shash::update`.
    unsafe { core::slice::from_raw_parts(data, len as usize) }
}

/// Makes a `cra_name` of a string. To be called at build time, where a string that does not fit
/// ends the build.
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
