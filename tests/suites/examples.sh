#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# What users copy. The shells come from the lab's root, and Dask from PyPI by this machine's pip.
. tests/suites/lib.sh

manuals() {
	"$TOOLS/adler32-docs" build
	"$LAB" run --packages man-db sh tests/suites/manuals.sh
}

completions() {
	"$TOOLS/adler32-docs" build
	"$LAB" run --packages 'fish zsh' bash tests/suites/completions.sh
}

run_case "the manual pages are found, and formatted without warnings" manuals
run_case "bash, fish and zsh complete" completions
run_case "GNU parallel sums a file on two hosts" "$LAB" run --packages parallel \
	env PATH="$PWD/tests/fixtures:$PWD/$TOOLS:$PATH" sh tests/suites/parallel.sh
run_case "Dask sums a file by two workers" sh tests/suites/dask.sh
print_result
