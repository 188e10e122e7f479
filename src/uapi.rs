// SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT

//! The ABI between the module and user space: names, ioctl numbers, and the structures of ioctls.
//!
//! The kernel module and the user-space library both compile this file, so it depends on nothing
//! but `core`. `userspace/adler32/tests/abi.rs` compares `include/uapi/linux/adler32.h` with it.
//!
//! All structures have the same layout for 32-bit and 64-bit callers: the members have fixed widths
//! and their natural alignment, without implicit padding. Members called `reserved` must be zero.

use core::ffi::CStr;

/// Version of this ABI, as reported by [`Info::abi_version`].
pub const ABI_VERSION: u32 = 1;

/// Name of the device node below `/dev`.
pub const DEVICE_NAME: &CStr = c"adler32";

/// Name of the hash in the kernel's crypto API.
pub const ALG_NAME: &CStr = c"adler32";

/// Name of this module's implementation of the hash. This name selects it even if another module's
/// implementation of the hash has a higher priority.
pub const DRIVER_NAME: &CStr = c"adler32-rust";

/// The ioctl "type" byte of all requests.
pub const IOC_TYPE: u8 = 0xAD;

/// `_IO`: makes the session empty (value 1, length 0). The file must be open for writing.
pub const NR_RESET: u8 = 0x20;
/// `_IOR` [`State`]: returns value and length of the session.
pub const NR_GET: u8 = 0x21;
/// `_IOW` [`State`]: replaces value and length of the session. The file must be open for writing.
pub const NR_SET: u8 = 0x22;
/// `_IOW` [`Buffer`]: appends a user buffer to the session, all of it or none. The file must be
/// open for writing.
pub const NR_UPDATE: u8 = 0x23;
/// `_IOWR` [`Digest`]: computes the checksum of a user buffer from a given start value, without
/// reading or changing the session.
pub const NR_DIGEST: u8 = 0x24;
/// `_IOW` [`State`]: appends a part by its checksum and length, without its bytes. The file must be
/// open for writing.
pub const NR_COMBINE: u8 = 0x25;
/// `_IOR` [`Info`]: describes the module.
pub const NR_INFO: u8 = 0x26;

/// The largest length of a session or a part in bytes, which is that of the largest file.
pub const MAX_LENGTH: u64 = i64::MAX as u64;

/// The largest length of a [`Buffer`] or a [`Digest`] in bytes. A call cannot be stopped by signals
/// other than SIGKILL, and must not take long.
pub const MAX_BUFFER: u64 = 64 << 20;

/// A checksum and the number of bytes that it covers.
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
    /// Length in bytes, at most [`MAX_BUFFER`].
    pub length: u64,
}

/// A buffer in the caller's address space, the value to start from, and the resulting checksum.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// Address of the first byte.
    pub address: u64,
    /// Length in bytes, at most [`MAX_BUFFER`].
    pub length: u64,
    /// In: the value to start from (1 for a new checksum). Out: the checksum.
    pub value: u32,
    /// Must be zero.
    pub reserved: u32,
}

/// A description of the module.
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
