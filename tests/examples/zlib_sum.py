# SPDX-License-Identifier: GPL-2.0 OR MIT

"""Prints the checksum of a file by zlib."""

import sys
import zlib

with open(sys.argv[1], "rb") as file:
    print(f"{zlib.adler32(file.read()):08x}")
