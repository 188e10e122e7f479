#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# Runs in the directory of a kernel that was built, which contains the directories "source" and
# "build". Leaves only the kernel and what building modules needs.
find source -mindepth 1 -maxdepth 1 \
	! -name Makefile ! -name .clippy.toml ! -name arch ! -name include ! -name scripts \
	-exec rm -r {} +
find source/arch -type f ! -name '*.h' ! -name 'Makefile*' ! -name Kbuild -delete
find build -mindepth 1 -maxdepth 1 \
	! -name Makefile ! -name .config ! -name Module.symvers ! -name source \
	! -name arch ! -name include ! -name rust ! -name scripts ! -name tools ! -name linux \
	-exec rm -r {} +
find build/rust -type f ! -name '*.rmeta' ! -name '*.so' -delete
find build -type f '(' -name '*.o' -o -name '*.a' -o -name '*.cmd' ')' -delete
find source build -type d -empty -delete
