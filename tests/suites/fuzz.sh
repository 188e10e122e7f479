#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The fuzzer, for ten seconds.
. tests/suites/lib.sh
run_case "clippy has nothing to say on the fuzz target" \
	env -C fuzz cargo clippy --release --locked -- -D warnings
run_case "the fuzzer finds nothing" make --no-print-directory fuzz FUZZ_SECONDS=10
print_result
