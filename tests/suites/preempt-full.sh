#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The tests with four processors and full preemption.
. tests/suites/lib.sh
# shellcheck disable=SC2016 # The guest's shell expands it.
vm_tests 'grep -q "(full)" /sys/kernel/debug/sched/preempt && [ $(nproc) = 4 ]' "" \
	--smp 4 --append preempt=full
