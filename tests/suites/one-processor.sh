#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The tests with one processor. x86 kernels can no longer be without preemption; User Mode Linux is.
. tests/suites/lib.sh
# shellcheck disable=SC2016 # The guest's shell expands it.
vm_tests 'grep -q "(lazy)" /sys/kernel/debug/sched/preempt && [ $(nproc) = 1 ]' '' \
	--smp 1 --append preempt=lazy
