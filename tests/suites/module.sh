#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The module and the modules of the tests build without warnings. Earlier output is removed, so that
# the compiler has to warn again.
. tests/suites/lib.sh
series=${KERNEL%%-*} flavour=${KERNEL#*-}
[ "$flavour" != "$KERNEL" ] || flavour=amd64

# remove_built DIR: removes what was built for the kernel there.
remove_built() {
	rm -rf "$1/$series".*+deb??-"$flavour"
}

lint_module() {
	remove_built build/module
	"$LAB" build --kernel "$KERNEL" -- CLIPPY=1
	remove_built build/module
}

build_test_modules() {
	remove_built build/tests/modules/build/module
	"$LAB" build --kernel "$KERNEL" build/tests/modules
}

run_case "clippy has nothing to say on the module" lint_module
run_case "the module builds without warnings" "$LAB" build --kernel "$KERNEL"
run_case "the modules of the tests build without warnings" build_test_modules
print_result
