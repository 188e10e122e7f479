#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The module and the modules of the tests build without warnings. Earlier output is removed, so that
# the compiler has to warn again.
. tests/suites/lib.sh

lint_module() {
	rm -rf build/module/"$KERNEL".*+deb*
	"$LAB" build --kernel "$KERNEL" -- CLIPPY=1
	rm -rf build/module/"$KERNEL".*+deb*
}

build_test_modules() {
	rm -rf build/tests/modules/build/module/"$KERNEL".*+deb*
	"$LAB" build --kernel "$KERNEL" build/tests/modules
}

run_case "clippy has nothing to say on the module" lint_module
run_case "the module builds without warnings" "$LAB" build --kernel "$KERNEL"
run_case "the modules of the tests build without warnings" build_test_modules
print_result
