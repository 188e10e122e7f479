#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The tests in a stock kernel: two processors, lazy preemption, vectors.
. tests/suites/lib.sh
arguments=$SHORT
# The tests left out here do the same in User Mode Linux, in a tenth of the time.
[ "$KERNEL" != "$NEWEST" ] ||
	arguments='--skip info::module_ --skip info::kernel_ --skip info::node_'
vm_tests true "$arguments"
