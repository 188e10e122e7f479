#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The library, the command, the programs that read kernels and pages, and the test programs' own tests.
set -eu
cargo test --locked
