#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# Loading, using and unloading the module many times loses no memory.
. tests/suites/lib.sh
cycles=40 flavour=uml-debug
[ "$SCOPE" != soak ] || cycles=1000 flavour=uml
run_case "the kernel has all back after loading and unloading" \
	in_guest --flavour $flavour --timeout 3600 -- test-endurance cycles $cycles
print_result
