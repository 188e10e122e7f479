#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The command among the programs of grid storage. The lab's root contains those programs.
. tests/suites/lib.sh

in_root() {
	local packages=$1
	shift
	"$LAB" run --packages "$packages" env PATH="$PWD/$TOOLS:$PATH" "$@"
}

XROOTD="xrootd-server xrootd-client gfal2-util-scripts gfal2-plugin-file gfal2-plugin-xrootd curl"

run_case "an XRootD server has its checksums computed" \
	in_root "$XROOTD" sh tests/suites/xrootd.sh
run_case "xrdadler32 and the command take each other's attributes" \
	in_root "xrootd-client strace attr" sh tests/suites/attributes.sh
run_case "curl and davix take the digests that the command prints" \
	in_root "curl gfal2-util-scripts gfal2-plugin-http python3" sh tests/suites/http.sh
run_case "Rucio computes checksums with the command" sh tests/suites/rucio.sh
run_case "the commands of docs/grid.md work" \
	in_root "jq findutils attr" bash tests/suites/recipes.sh
print_result
