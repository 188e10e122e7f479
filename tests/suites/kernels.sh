#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The lab prepares the kernels of the other suites, so that these do not wait for each other.
. tests/suites/lib.sh
for kernel in $KERNELS; do
	run_case "kernel $kernel is ready" "$LAB" setup "$kernel"
done
case " $KERNELS " in
*" $NEWEST "*)
	run_case "kernel $NEWEST is ready with detectors" "$LAB" setup --flavour uml-debug "$NEWEST"
	;;
esac
print_result
