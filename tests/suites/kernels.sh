#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The lab prepares the kernels of the other suites, so that these do not wait for each other.
. tests/suites/lib.sh

# If there is no cache, this suite takes longest. The others use the time in which it waits. Not
# every container allows this, and the tests pass without it.
renice --priority -5 $$ > /dev/null 2>&1 || true

for kernel in $KERNELS; do
	run_case "kernel $kernel is ready" "$LAB" setup "$kernel"
done
case " $KERNELS " in
*" $NEWEST "*)
	run_case "kernel $NEWEST is ready with detectors" "$LAB" setup --flavour uml-debug "$NEWEST"
	;;
esac
print_result
