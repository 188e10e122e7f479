#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# Formatting, lints, and the rules of CONTRIBUTING.md that a program can check.
. tests/suites/lib.sh

check_scripts() {
	local scripts
	mapfile -t scripts < <(find -- * .ci -name build -prune -o -type f \
		-exec grep -lE '^#!/bin/(ba)?sh|^# shellcheck shell=' {} +)
	"$LAB" run --packages shellcheck shellcheck --external-sources "${scripts[@]}"
}

run_case "user space is formatted" cargo fmt --all --check
run_case "the lab is formatted" env -C lab cargo fmt --all --check
run_case "the fuzz target is formatted" env -C fuzz cargo fmt --check
run_case "the benchmark is formatted" env -C bench/core cargo fmt --check
run_case "the counting benchmark is formatted" env -C bench/count cargo fmt --check
run_case "the module is formatted" rustfmt --check src/lib.rs
run_case "clippy has nothing to say on user space" \
	cargo clippy --locked --all-targets -- -D warnings
run_case "rustdoc has nothing to say on the library" \
	env RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --package adler32
run_case "clippy has nothing to say on the lab" \
	env -C lab cargo clippy --locked --workspace --all-targets -- -D warnings
run_case "clippy has nothing to say on the benchmark" \
	env -C bench/core cargo clippy --release --locked --all-targets -- -D warnings
run_case "shellcheck has nothing to say on scripts" check_scripts
print_result
"$TOOLS/test-style"
