// SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT

//! What the module and its users agree on: names, ioctl numbers and the structures they carry.
//!
//! This file is the one place where the ABI is written. The kernel module and the user-space
//! library compile it as it stands, and `include/uapi/linux/adler32.h` is checked against it by
//! `userspace/adler32/tests/abi.rs`. It therefore depends on nothing.
//!
//! All structures have the same layout for 32- and 64-bit callers: fixed-width members, each
//! naturally aligned, no implicit padding. Members called `reserved` must be zero.

use core::ffi::CStr;

/// Version of this ABI, as reported by [`Info::abi_version`].
pub const ABI_VERSION: u32 = 1;

/// Name of the device node below `/dev`.
pub const DEVICE_NAME: &CStr = c"adler32";

/// Name of the hash in the kernel's crypto API.
pub const ALG_NAME: &CStr = c"adler32";

/// Name of this module's implementation of the hash, by which it is reached even where another
/// module's takes precedence.
pub const DRIVER_NAME: &CStr = c"adler32-rust";

/// The ioctl "type" byte of all requests.
pub const IOC_TYPE: u8 = 0xAD;

/// `_IO`: makes the session empty (value 1, length 0). Needs a file open for writing.
pub const NR_RESET: u8 = 0x20;
/// `_IOR` [`State`]: reads value and length of the session.
pub const NR_GET: u8 = 0x21;
/// `_IOW` [`State`]: replaces value and length of the session. Needs a file open for writing.
pub const NR_SET: u8 = 0x22;
/// `_IOW` [`Buffer`]: appends a user buffer to the session, all of it or none. Needs a file open
/// for writing.
pub const NR_UPDATE: u8 = 0x23;
/// `_IOWR` [`Digest`]: checksums a user buffer from a given start value; the session is neither
/// read nor changed.
pub const NR_DIGEST: u8 = 0x24;
/// `_IOW` [`State`]: appends a part of which only checksum and length are known. Needs a file open
/// for writing.
pub const NR_COMBINE: u8 = 0x25;
/// `_IOR` [`Info`]: describes the module.
pub const NR_INFO: u8 = 0x26;

/// The largest length a session or a part can have, in bytes: that of the largest file.
pub const MAX_LENGTH: u64 = i64::MAX as u64;

/// A checksum together with the number of bytes it covers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Adler-32 value. Each 16-bit half is below 65521.
    pub value: u32,
    /// Must be zero.
    pub reserved: u32,
    /// Number of bytes, at most [`MAX_LENGTH`].
    pub length: u64,
}

/// A buffer in the caller's address space.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buffer {
    /// Address of the first byte.
    pub address: u64,
    /// Length in bytes.
    pub length: u64,
}

/// A one-shot digest: start value in, checksum out.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// Address of the first byte.
    pub address: u64,
    /// Length in bytes.
    pub length: u64,
    /// In: the value to start from (1 for a fresh checksum). Out: the checksum.
    pub value: u32,
    /// Must be zero.
    pub reserved: u32,
}

/// What serves the device.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// [`ABI_VERSION`] of the module.
    pub abi_version: u32,
    /// Zero.
    pub reserved: u32,
    /// Name of the implementation in use, such as `portable`; ends in at least one NUL.
    pub implementation: [u8; 24],
    /// Version of the module, such as `1.2.3`; ends in at least one NUL.
    pub module_version: [u8; 24],
}
