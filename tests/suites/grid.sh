#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The command among the programs of grid storage. The lab's root contains those programs.
. tests/suites/lib.sh

# The lab installs all packages at once.
PACKAGES="attr curl gfal2-plugin-file gfal2-plugin-http gfal2-plugin-xrootd gfal2-util-scripts jq
	strace xrootd-client xrootd-server"

in_root() {
	"$LAB" run --packages "${PACKAGES//[$'\n\t']/ }" env PATH="$PWD/$TOOLS:$PATH" "$@"
}

run_case "an XRootD server has its checksums computed" in_root sh tests/suites/xrootd.sh
run_case "xrdadler32 and the command take each other's attributes" \
	in_root sh tests/suites/attributes.sh
run_case "curl and davix take the digests that the command prints" in_root sh tests/suites/http.sh
run_case "Rucio computes checksums with the command" sh tests/suites/rucio.sh
run_case "the commands of docs/grid.md work" in_root bash tests/suites/recipes.sh
print_result
