#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The benchmarks run, and all contenders compute the same checksums. Their speed depends on the host
# and is not checked.
. tests/suites/lib.sh
out=build/bench/quick
mkdir -p $out

if [ -z "$KERNEL" ]; then
	run_case "the benchmark runs" \
		env -C bench/core cargo run --locked --release -- --quick --output ../../$out
	run_case "the benchmark of the command runs" \
		"$TOOLS/bench-cli" --file 16 --files 100 --rounds 2 --json $out/cli.json
else
	run_case "the benchmark runs in the kernel" \
		in_guest --flavour uml --build build/tests/modules -- bench-kernel shash
	run_case "the benchmark of the device runs" \
		in_guest --flavour uml -- bench-device --file 16 --memory 4 --rounds 3 \
		--json $out/device.json --plot $out/device.svg
fi
print_result
