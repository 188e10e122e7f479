/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * The ioctls of /dev/adler32. See adler32(4).
 *
 * All structures have the same layout for 32-bit and 64-bit callers. Members
 * called "reserved" must be zero.
 */
#ifndef _UAPI_LINUX_ADLER32_H
#define _UAPI_LINUX_ADLER32_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define ADLER32_ABI_VERSION	1

/* The greatest length of a session or a part, in bytes. */
#define ADLER32_MAX_LENGTH	0x7fffffffffffffffULL

/* The greatest length of a buffer, in bytes. */
#define ADLER32_MAX_BUFFER	0x4000000ULL

/**
 * struct adler32_state - a checksum and the number of bytes it covers
 * @value: Adler-32 checksum; its upper and lower 16 bits are below 65521
 * @reserved: must be zero
 * @length: number of bytes, at most ADLER32_MAX_LENGTH
 */
struct adler32_state {
	__u32 value;
	__u32 reserved;
	__u64 length;
};

/**
 * struct adler32_buffer - a buffer in the caller's address space
 * @address: address of the first byte
 * @length: length in bytes, at most ADLER32_MAX_BUFFER
 */
struct adler32_buffer {
	__u64 address;
	__u64 length;
};

/**
 * struct adler32_digest - a one-shot digest
 * @address: address of the first byte
 * @length: length in bytes, at most ADLER32_MAX_BUFFER
 * @value: in: the checksum to start from, 1 for a new checksum; out: the
 *	resulting checksum
 * @reserved: must be zero
 */
struct adler32_digest {
	__u64 address;
	__u64 length;
	__u32 value;
	__u32 reserved;
};

/**
 * struct adler32_info - a description of the module
 * @abi_version: ADLER32_ABI_VERSION of the module
 * @reserved: zero
 * @implementation: name of the implementation in use, NUL-terminated
 * @module_version: version of the module, NUL-terminated
 */
struct adler32_info {
	__u32 abi_version;
	__u32 reserved;
	char implementation[24];
	char module_version[24];
};

#define ADLER32_IOC_TYPE	0xAD

/* Requests marked (w) fail with EBADF if the file is not open for writing. */

/* (w) Make the session empty: checksum 1, length 0. */
#define ADLER32_RESET	_IO(ADLER32_IOC_TYPE, 0x20)
/* Get the checksum and the length of the session. */
#define ADLER32_GET	_IOR(ADLER32_IOC_TYPE, 0x21, struct adler32_state)
/* (w) Replace the checksum and the length of the session. */
#define ADLER32_SET	_IOW(ADLER32_IOC_TYPE, 0x22, struct adler32_state)
/* (w) Append a buffer to the session. Appends nothing if it fails. */
#define ADLER32_UPDATE	_IOW(ADLER32_IOC_TYPE, 0x23, struct adler32_buffer)
/* Compute the checksum of a buffer. Does not use or change the session. */
#define ADLER32_DIGEST	_IOWR(ADLER32_IOC_TYPE, 0x24, struct adler32_digest)
/* (w) Append a part that is given by its checksum and its length. */
#define ADLER32_COMBINE	_IOW(ADLER32_IOC_TYPE, 0x25, struct adler32_state)
/* Describe the module. */
#define ADLER32_INFO	_IOR(ADLER32_IOC_TYPE, 0x26, struct adler32_info)

#endif /* _UAPI_LINUX_ADLER32_H */
