// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Prints the checksum and the length of a file, with a session of /dev/adler32.
 *
 *	cc -I include/uapi -o session examples/c/session.c
 *	./session FILE
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/adler32.h>

int main(int argc, char **argv)
{
	static char buffer[1 << 20];
	struct adler32_state state;
	int device, file;
	ssize_t length;

	if (argc != 2)
		errx(2, "usage: session FILE");
	file = open(argv[1], O_RDONLY);
	if (file < 0)
		err(1, "cannot open %s", argv[1]);

	/* O_RDWR makes the session private: it does not use the slot of the user. */
	device = open("/dev/adler32", O_RDWR);
	if (device < 0)
		err(1, "cannot open /dev/adler32 (run adler32 info to see why)");

	/* The device consumes the whole buffer, however long it is. */
	while ((length = read(file, buffer, sizeof(buffer))) > 0)
		if (write(device, buffer, length) != length)
			err(1, "cannot write to /dev/adler32");
	if (length < 0)
		err(1, "cannot read %s", argv[1]);

	if (ioctl(device, ADLER32_GET, &state) < 0)
		err(1, "ADLER32_GET");
	printf("%08x %llu %s\n", state.value, state.length, argv[1]);
	return 0;
}
