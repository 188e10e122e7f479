// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Every system call on /dev/adler32 by a C program, built for 32 and for 64
 * bits. Prints each mismatch, and "all right" if there was none.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/adler32.h>

static int mismatches;

#define CHECK(expression) do {						\
	errno = 0;							\
	if (!(expression)) {						\
		printf("line %d: not %s (%s)\n", __LINE__, #expression,	\
		       strerror(errno));				\
		mismatches++;						\
	}								\
} while (0)

#define REFUSED(error, call) CHECK((call) == -1 && errno == (error))

static int get_is(int fd, __u32 value, __u64 length)
{
	struct adler32_state state = { ~0u, ~0u, ~0ull };

	return ioctl(fd, ADLER32_GET, &state) == 0 && state.value == value &&
	       state.reserved == 0 && state.length == length;
}

static void ioctls(int fd)
{
	static char data[100000];
	struct adler32_buffer buffer = { (uintptr_t)"abc", 3 };
	struct adler32_state state = { 0x00620062, 0, 1 };
	struct adler32_digest digest = { (uintptr_t)"bc", 2, 0x00620062, 0 };
	struct adler32_info info;

	CHECK(ioctl(fd, ADLER32_UPDATE, &buffer) == 0);
	CHECK(get_is(fd, 0x024d0127, 3));
	CHECK(ioctl(fd, ADLER32_RESET) == 0);
	CHECK(get_is(fd, 1, 0));

	CHECK(ioctl(fd, ADLER32_SET, &state) == 0);
	CHECK(get_is(fd, 0x00620062, 1));
	CHECK(ioctl(fd, ADLER32_DIGEST, &digest) == 0);
	CHECK(digest.value == 0x024d0127);
	CHECK(get_is(fd, 0x00620062, 1));

	/* "bc" alone. */
	state.value = 0x012900c6;
	state.length = 2;
	CHECK(ioctl(fd, ADLER32_COMBINE, &state) == 0);
	CHECK(get_is(fd, 0x024d0127, 3));

	memset(&info, 0xff, sizeof(info));
	CHECK(ioctl(fd, ADLER32_INFO, &info) == 0);
	CHECK(info.abi_version == ADLER32_ABI_VERSION && info.reserved == 0);
	CHECK(memchr(info.implementation, 0, sizeof(info.implementation)));
	CHECK(memchr(info.module_version, 0, sizeof(info.module_version)));

	/* Lengths that do not fit 32 bits. */
	state.value = 1;
	state.length = ADLER32_MAX_LENGTH;
	CHECK(ioctl(fd, ADLER32_SET, &state) == 0);
	CHECK(get_is(fd, 1, ADLER32_MAX_LENGTH));
	REFUSED(EOVERFLOW, ioctl(fd, ADLER32_UPDATE, &buffer));
	REFUSED(EOVERFLOW, ioctl(fd, ADLER32_COMBINE, &state));
	state.length = 0x100000000ull;
	CHECK(ioctl(fd, ADLER32_SET, &state) == 0);
	CHECK(get_is(fd, 1, 0x100000000ull));
	state.length++;
	state.reserved = 1;
	REFUSED(EINVAL, ioctl(fd, ADLER32_SET, &state));
	state.reserved = 0;
	state.value = 0xfff10001;
	REFUSED(EINVAL, ioctl(fd, ADLER32_SET, &state));
	CHECK(get_is(fd, 1, 0x100000000ull));
	CHECK(ioctl(fd, ADLER32_RESET) == 0);

	/* No part of an address or a length is ignored. */
	buffer.address |= 1ull << 63;
	REFUSED(EFAULT, ioctl(fd, ADLER32_UPDATE, &buffer));
	buffer.address = (uintptr_t)"abc" + (1ull << 48);
	REFUSED(EFAULT, ioctl(fd, ADLER32_UPDATE, &buffer));
	if (sizeof(long) == 4) {
		buffer.address = (uintptr_t)"abc" + (1ull << 32);
		REFUSED(EFAULT, ioctl(fd, ADLER32_UPDATE, &buffer));
	}
	buffer.address = (uintptr_t)data;
	buffer.length = sizeof(data) + (1ull << 32);
	REFUSED(EFAULT, ioctl(fd, ADLER32_UPDATE, &buffer));
	buffer.length = 1ull << 32;
	REFUSED(EFAULT, ioctl(fd, ADLER32_UPDATE, &buffer));
	digest.address = (uintptr_t)data;
	digest.length = 1ull << 32;
	REFUSED(EFAULT, ioctl(fd, ADLER32_DIGEST, &digest));
	CHECK(get_is(fd, 1, 0));

	/* s1 stays 1, and s2 counts the bytes. */
	buffer.length = sizeof(data);
	CHECK(ioctl(fd, ADLER32_UPDATE, &buffer) == 0);
	CHECK(get_is(fd, sizeof(data) % 65521 << 16 | 1, sizeof(data)));
	CHECK(ioctl(fd, ADLER32_RESET) == 0);

	REFUSED(EFAULT, ioctl(fd, ADLER32_GET, NULL));
	REFUSED(EFAULT, ioctl(fd, ADLER32_SET, NULL));
	REFUSED(EFAULT, ioctl(fd, ADLER32_UPDATE, NULL));
	REFUSED(EFAULT, ioctl(fd, ADLER32_DIGEST, NULL));
	REFUSED(EFAULT, ioctl(fd, ADLER32_COMBINE, NULL));
	REFUSED(EFAULT, ioctl(fd, ADLER32_INFO, NULL));
	REFUSED(ENOTTY, ioctl(fd, _IO(ADLER32_IOC_TYPE, 0x27)));
	REFUSED(ENOTTY, ioctl(fd, _IOR(ADLER32_IOC_TYPE, 0x21, __u32), &state));
}

static void text_is(int fd, const char *expected)
{
	char text[16] = "";

	CHECK(read(fd, text, sizeof(text)) == 9);
	CHECK(strcmp(text, expected) == 0);
	CHECK(read(fd, text, sizeof(text)) == 0);
}

static void files(int fd)
{
	struct iovec pieces[] = { { "pe", 2 }, { "dia", 3 } };
	struct iovec nowhere = { .iov_len = 1 };
	char byte;
	int writer, view;

	CHECK(write(fd, "Wiki", 4) == 4);
	CHECK(writev(fd, pieces, 2) == 5);
	text_is(fd, "11e60398\n");
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	text_is(fd, "11e60398\n");
	CHECK(pread(fd, &byte, 1, 7) == 1 && byte == '8');
	CHECK(pwrite(fd, "x", 1, 1 << 20) == 1);
	CHECK(get_is(fd, 0x15f60410, 10));
	nowhere.iov_base = (void *)16;
	REFUSED(EFAULT, writev(fd, &nowhere, 1));

	writer = open("/dev/adler32", O_WRONLY);
	view = open("/dev/adler32", O_RDONLY);
	CHECK(writer >= 0 && view >= 0);
	CHECK(write(writer, "abc", 3) == 3);
	CHECK(close(writer) == 0);
	text_is(view, "024d0127\n");
	REFUSED(EBADF, ioctl(view, ADLER32_RESET));
	CHECK(close(view) == 0);
}

/* The checksum byte by byte, after RFC 1950. */
static __u32 adler(const unsigned char *data, size_t length)
{
	__u32 s1 = 1, s2 = 0;

	while (length--) {
		s1 = (s1 + *data++) % 65521;
		s2 = (s2 + s1) % 65521;
	}
	return s2 << 16 | s1;
}

static void large(int fd)
{
	static unsigned char data[1 << 20];
	struct iovec pieces[] = {
		{ data + 1, 15 },
		{ data + 16, 4095 },
		{ data + 4111, 8193 },
		{ data + 12304, 1 },
		{ data + 12305, sizeof(data) - 12305 },
	};
	struct adler32_buffer buffer = { (uintptr_t)data, sizeof(data) };
	struct adler32_digest digest = { (uintptr_t)data, sizeof(data), 1, 0 };
	FILE *file = tmpfile();
	off_t offset = 3;
	int ends[2];
	size_t i;

	for (i = 0; i < sizeof(data); i++)
		data[i] = i % 251 ^ i >> 12;

	CHECK(ioctl(fd, ADLER32_RESET) == 0);
	CHECK(write(fd, data, 16) == 16);
	CHECK(get_is(fd, adler(data, 16), 16));
	CHECK(ioctl(fd, ADLER32_RESET) == 0);
	CHECK(write(fd, data, sizeof(data)) == sizeof(data));
	CHECK(get_is(fd, adler(data, sizeof(data)), sizeof(data)));
	CHECK(ioctl(fd, ADLER32_RESET) == 0);
	CHECK(writev(fd, pieces, 5) == sizeof(data) - 1);
	CHECK(get_is(fd, adler(data + 1, sizeof(data) - 1), sizeof(data) - 1));
	CHECK(ioctl(fd, ADLER32_RESET) == 0);
	CHECK(ioctl(fd, ADLER32_UPDATE, &buffer) == 0);
	CHECK(get_is(fd, adler(data, sizeof(data)), sizeof(data)));
	CHECK(ioctl(fd, ADLER32_DIGEST, &digest) == 0);
	CHECK(digest.value == adler(data, sizeof(data)));

	CHECK(ioctl(fd, ADLER32_RESET) == 0);
	CHECK(file && fwrite(data, sizeof(data), 1, file) == 1);
	CHECK(fflush(file) == 0);
	CHECK(sendfile(fd, fileno(file), &offset, 50000) == 50000);
	CHECK(offset == 50003);
	CHECK(get_is(fd, adler(data + 3, 50000), 50000));
	CHECK(pipe(ends) == 0 && write(ends[1], data + 50003, 5000) == 5000);
	CHECK(splice(ends[0], NULL, fd, NULL, 5000, 0) == 5000);
	CHECK(get_is(fd, adler(data + 3, 55000), 55000));
	CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
	CHECK(fclose(file) == 0);
}

int main(void)
{
	int fd = open("/dev/adler32", O_RDWR);

	CHECK(fd >= 0);
	ioctls(fd);
	files(fd);
	large(fd);
	if (mismatches)
		return 1;
	puts("all right");
	return 0;
}
