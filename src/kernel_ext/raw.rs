// SPDX-License-Identifier: GPL-2.0

//! The C types of the crypto API, which `bindings` lacks.
//!
//! This file does not compile unless every member in use is at the offset that the C compiler
//! computes for it. The other members only fill the space between them.
//!
//! The types have their C names, because CFI derives the type of a callback from them.
//!
//! C headers: [`include/crypto/internal/hash.h`](srctree/include/crypto/internal/hash.h),
//! [`include/linux/crypto.h`](srctree/include/linux/crypto.h)

#![allow(non_camel_case_types)]

use core::mem::{
    align_of,
    offset_of,
    size_of, //
};

use kernel::{
    bindings,
    ffi::{
        c_char,
        c_int,
        c_uint,
        c_void, //
    }, //
};

/// Sizes and offsets, generated from `shash_layout.c`.
// Most of them are used in assertions only, and rustc 1.85 calls those dead code.
#[allow(dead_code)]
pub(super) mod layout {
    include!(env!("ADLER32_SHASH_LAYOUT"));
}

/// `struct crypto_alg`.
#[repr(C)]
pub(super) struct crypto_alg {
    cra_list: bindings::list_head,
    cra_users: bindings::list_head,
    pub(super) cra_flags: u32,
    pub(super) cra_blocksize: c_uint,
    pub(super) cra_ctxsize: c_uint,
    cra_alignmask: c_uint,
    cra_reqsize: c_uint,
    pub(super) cra_priority: c_int,
    cra_refcnt: bindings::refcount_t,
    pub(super) cra_name: [c_char; layout::ALG_NAME_SIZE],
    pub(super) cra_driver_name: [c_char; layout::ALG_NAME_SIZE],
    cra_type: *const c_void,
    cra_u: [*mut c_void; 4],
    cra_init: *mut c_void,
    cra_exit: *mut c_void,
    cra_destroy: *mut c_void,
    pub(super) cra_module: *mut bindings::module,
}

/// `struct shash_alg`.
#[repr(C)]
pub(super) struct shash_alg {
    pub(super) init: Option<unsafe extern "C" fn(*mut shash_desc) -> c_int>,
    pub(super) update: Option<unsafe extern "C" fn(*mut shash_desc, *const u8, c_uint) -> c_int>,
    final_: *mut c_void,
    pub(super) finup:
        Option<unsafe extern "C" fn(*mut shash_desc, *const u8, c_uint, *mut u8) -> c_int>,
    digest: *mut c_void,
    pub(super) export: Option<unsafe extern "C" fn(*mut shash_desc, *mut c_void) -> c_int>,
    pub(super) import: Option<unsafe extern "C" fn(*mut shash_desc, *const c_void) -> c_int>,
    export_core: *mut c_void,
    import_core: *mut c_void,
    pub(super) setkey: Option<unsafe extern "C" fn(*mut crypto_shash, *const u8, c_uint) -> c_int>,
    pub(super) init_tfm: Option<unsafe extern "C" fn(*mut crypto_shash) -> c_int>,
    exit_tfm: *mut c_void,
    pub(super) descsize: c_uint,
    pub(super) halg: hash_alg_common,
}

/// `struct hash_alg_common`.
#[repr(C)]
pub(super) struct hash_alg_common {
    pub(super) digestsize: c_uint,
    pub(super) statesize: c_uint,
    pub(super) base: crypto_alg,
}

/// `struct shash_desc`, followed by the state of the algorithm at [`layout::SHASH_DESC_CTX`].
#[repr(C)]
pub(super) struct shash_desc {
    pub(super) tfm: *mut crypto_shash,
}

/// `struct crypto_shash`, followed by the context of the transform at [`layout::SHASH_CTX`].
#[repr(C)]
pub(super) struct crypto_shash {
    _opaque: [u8; 0],
}

macro_rules! assert_layout {
    ($($actual:expr => $expected:ident,)*) => {
        $(const _: () = assert!($actual == layout::$expected);)*
    };
}

assert_layout! {
    size_of::<crypto_alg>() => CRYPTO_ALG_SIZE,
    align_of::<crypto_alg>() => CRYPTO_ALG_ALIGN,
    offset_of!(crypto_alg, cra_flags) => CRYPTO_ALG_FLAGS,
    offset_of!(crypto_alg, cra_blocksize) => CRYPTO_ALG_BLOCKSIZE,
    offset_of!(crypto_alg, cra_ctxsize) => CRYPTO_ALG_CTXSIZE,
    offset_of!(crypto_alg, cra_priority) => CRYPTO_ALG_PRIORITY,
    offset_of!(crypto_alg, cra_name) => CRYPTO_ALG_NAME,
    offset_of!(crypto_alg, cra_driver_name) => CRYPTO_ALG_DRIVER_NAME,
    offset_of!(crypto_alg, cra_module) => CRYPTO_ALG_MODULE,
    size_of::<shash_alg>() => SHASH_ALG_SIZE,
    offset_of!(shash_alg, init) => SHASH_ALG_INIT,
    offset_of!(shash_alg, update) => SHASH_ALG_UPDATE,
    offset_of!(shash_alg, finup) => SHASH_ALG_FINUP,
    offset_of!(shash_alg, export) => SHASH_ALG_EXPORT,
    offset_of!(shash_alg, import) => SHASH_ALG_IMPORT,
    offset_of!(shash_alg, setkey) => SHASH_ALG_SETKEY,
    offset_of!(shash_alg, init_tfm) => SHASH_ALG_INIT_TFM,
    offset_of!(shash_alg, descsize) => SHASH_ALG_DESCSIZE,
    offset_of!(shash_alg, halg.digestsize) => SHASH_ALG_DIGESTSIZE,
    offset_of!(shash_alg, halg.statesize) => SHASH_ALG_STATESIZE,
    offset_of!(shash_alg, halg.base) => SHASH_ALG_BASE,
    offset_of!(shash_desc, tfm) => SHASH_DESC_TFM,
}

// In some configurations, `struct module` contains an empty member, which the lint reports.
#[allow(improper_ctypes)]
extern "C" {
    /// Exported to GPL modules by `crypto/shash.c`.
    pub(super) fn crypto_register_shash(alg: *mut shash_alg) -> c_int;
    /// Exported to GPL modules by `crypto/shash.c`.
    pub(super) fn crypto_unregister_shash(alg: *mut shash_alg);
}
