#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The lab builds User Mode Linux with detectors. Compiling C uses what the suite "kernels" leaves of
# the processors: the kernel's makefiles compile some crates of Rust one after the other.
. tests/suites/lib.sh
run_case "kernel $KERNEL is ready with detectors" "$LAB" setup --flavour uml-debug "$KERNEL"
print_result
