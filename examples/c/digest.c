// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Prints the checksum of each argument, with one ioctl of /dev/adler32 for each.
 *
 *	cc -I include/uapi -o digest examples/c/digest.c
 *	./digest TEXT...
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/adler32.h>

int main(int argc, char **argv)
{
	int device, i;

	/* The ioctl changes no session, so a file open for reading is enough. */
	device = open("/dev/adler32", O_RDONLY);
	if (device < 0)
		err(1, "cannot open /dev/adler32 (run adler32 info to see why)");

	for (i = 1; i < argc; i++) {
		struct adler32_digest digest = {
			.address = (uintptr_t)argv[i],
			.length = strlen(argv[i]),
			.value = 1,	/* the checksum of no data */
		};

		if (ioctl(device, ADLER32_DIGEST, &digest) < 0)
			err(1, "ADLER32_DIGEST");
		printf("%08x %s\n", digest.value, argv[i]);
	}
	return 0;
}
