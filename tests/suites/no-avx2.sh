#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The tests on a processor without AVX2; outside "make soak" a part of them.
. tests/suites/lib.sh
arguments=
[ "$SCOPE" = soak ] || arguments=implementation
vm_tests '! grep -qw avx2 /proc/cpuinfo' "$arguments" --append clearcpuid=avx2
