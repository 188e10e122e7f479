#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The benchmarks run, and all contenders compute the same checksums. Their speed depends on the host
# and is not checked.
. tests/suites/lib.sh
out=build/bench/quick
mkdir -p $out

bench_cli() {
	set -o pipefail
	"$TOOLS/bench-cli" --file 16 --files 100 --rounds 2 --slow-disks --json $out/cli.json \
		--plot $out/cli.svg | tee $out/cli.txt
}

kept() {
	! grep "^What stays in memory is skipped" $out/cli.txt || exit 77
	grep -A 3 "^A warm file" $out/cli.txt
	grep -q "^adler32 sum --direct .* all  met$" $out/cli.txt
}

if [ -z "$KERNEL" ]; then
	run_case "the benchmark runs" \
		env -C bench/core cargo run --locked --release -- --quick --output ../../$out
	run_case "the benchmark of the command runs" bench_cli
	run_case "a file that is read past the page cache displaces no other" kept
else
	run_case "the benchmark runs in the kernel" \
		in_guest --flavour uml-debug --build build/tests/modules -- bench-kernel shash
	run_case "the benchmark of the device runs" \
		in_guest --flavour uml-debug -- bench-device --file 16 --memory 4 --rounds 3 \
		--json $out/device.json --plot $out/device.svg
fi
print_result
