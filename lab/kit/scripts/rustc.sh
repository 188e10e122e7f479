#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The rustc for building a kernel. The kernel's makefiles pass -O only for programs and macros that
# run during the build. Optimizing these takes longer than it saves.
for argument; do
	[ "$argument" != -O ] || exec rustc "$@" -Copt-level=0
done
exec rustc "$@"
