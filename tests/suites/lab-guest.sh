#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The lab's tests that boot guests. Cargo builds a lab for them. Their own target directory keeps it
# from replacing the lab that other suites use at the same time.
set -eu
cd lab
cargo test --locked --target-dir ../build/lab-guest --test vm -- --ignored
