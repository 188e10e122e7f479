/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * User interface of /dev/adler32. See adler32(4).
 *
 * All structures have the same layout for 32- and 64-bit callers. Members
 * called "reserved" must be zero.
 */
#ifndef _UAPI_LINUX_ADLER32_H
#define _UAPI_LINUX_ADLER32_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define ADLER32_ABI_VERSION	1

/* The largest length of a session or a part, in bytes. */
#define ADLER32_MAX_LENGTH	0x7fffffffffffffffULL

/**
 * struct adler32_state - a checksum and the number of bytes it covers
 * @value: Adler-32 value; each 16-bit half is below 65521
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
 * @length: length in bytes
 */
struct adler32_buffer {
	__u64 address;
	__u64 length;
};

/**
 * struct adler32_digest - a one-shot digest
 * @address: address of the first byte
 * @length: length in bytes
 * @value: in: the value to start from (1 for a fresh checksum); out: the
 *	checksum
 * @reserved: must be zero
 */
struct adler32_digest {
	__u64 address;
	__u64 length;
	__u32 value;
	__u32 reserved;
};

/**
 * struct adler32_info - what serves the device
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

/* Those marked (w) need a file open for writing, else EBADF. */

/* (w) Make the session empty: value 1, length 0. */
#define ADLER32_RESET	_IO(ADLER32_IOC_TYPE, 0x20)
/* Read value and length of the session. */
#define ADLER32_GET	_IOR(ADLER32_IOC_TYPE, 0x21, struct adler32_state)
/* (w) Replace value and length of the session. */
#define ADLER32_SET	_IOW(ADLER32_IOC_TYPE, 0x22, struct adler32_state)
/* (w) Append a buffer to the session: all of it or, on error, none. */
#define ADLER32_UPDATE	_IOW(ADLER32_IOC_TYPE, 0x23, struct adler32_buffer)
/* Checksum a buffer without touching the session. */
#define ADLER32_DIGEST	_IOWR(ADLER32_IOC_TYPE, 0x24, struct adler32_digest)
/* (w) Append a part of which only checksum and length are known. */
#define ADLER32_COMBINE	_IOW(ADLER32_IOC_TYPE, 0x25, struct adler32_state)
/* Describe the module. */
#define ADLER32_INFO	_IOR(ADLER32_IOC_TYPE, 0x26, struct adler32_info)

#endif /* _UAPI_LINUX_ADLER32_H */
