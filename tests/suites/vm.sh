#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The tests in a stock kernel: two processors, lazy preemption, vectors.
. tests/suites/lib.sh
options=
case $SCOPE-$KERNEL in
soak-*) arguments= ;;
# The tests left out here do the same in the suite "writers", in less time.
test-"$NEWEST")
	arguments='--skip info::module_ --skip info::kernel_ --skip info::node_ --skip reload_100_times'
	;;
test-*-rt-*) arguments=$FLAVOUR options='--smp 4' ;;
# QEMU emulates pointer authentication slowly. No code of the module depends on it.
test-*-arm64) arguments="$FLAVOUR --skip sharing::" options='--append arm64.nopauth' ;;
test-*-*) arguments="$FLAVOUR --skip sharing::" ;;
*) arguments=$SHORT ;;
esac
# shellcheck disable=SC2086 # These are several words.
vm_tests 'ls / > /dev/null' "$arguments" $options
