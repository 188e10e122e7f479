#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The rustc for building a kernel. The makefiles of the kernel pass -O only for the libraries that
# procedural macros are built from. Optimizing these libraries takes half a minute for each kernel,
# and the macros of a kernel or a module run for a moment.
for argument; do
	[ "$argument" != -O ] || exec rustc "$@" -Copt-level=0
done
exec rustc "$@"
