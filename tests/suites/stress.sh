#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# All interfaces at the same time.
. tests/suites/lib.sh
seconds=5
[ "$SCOPE" != soak ] || seconds=600
run_case "all at once gives the right answers" \
	in_guest --flavour uml-debug --timeout 3600 -- test-endurance stress $seconds
print_result
