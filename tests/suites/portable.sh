#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The tests with the portable implementation.
. tests/suites/lib.sh
vm_tests "modprobe adler32 && dmesg | grep -q 'implementation portable'" '' \
	--append adler32.implementation=portable
