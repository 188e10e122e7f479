#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# Random operations, compared with a model.
. tests/suites/lib.sh
operations=4000
[ "$SCOPE" != soak ] || operations=1000000
run_case "random operations are answered as they should be" \
	in_guest --flavour uml-debug --timeout 7200 -- test-operations --operations $operations
print_result
