#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The tests in a stock kernel: two processors, lazy preemption, vectors.
. tests/suites/lib.sh
case $SCOPE-$KERNEL in
soak-*) arguments= ;;
# The tests left out here do the same in User Mode Linux, in a tenth of the time.
test-"$NEWEST")
	arguments='--skip info::module_ --skip info::kernel_ --skip info::node_ --skip reload_100_times'
	;;
test-*-*) arguments=$FLAVOUR ;;
*) arguments=$SHORT ;;
esac
vm_tests true "$arguments"
