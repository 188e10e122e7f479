#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The implementations under Valgrind, which also refuses loads that are only partly within a block.
# Valgrind does not support AVX-512.
set -eu
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER='valgrind -q --error-exitcode=99
	--partial-loads-ok=no --redzone-size=256'
cargo test --locked --test implementations -- unwritten
