#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# Loading, using and unloading the module many times loses no memory.
. tests/suites/lib.sh
cycles=40
[ "$SCOPE" != soak ] || cycles=1000
run_case "the kernel has all back after loading and unloading" \
	in_guest --flavour uml --timeout 3600 -- test-endurance cycles $cycles
print_result
