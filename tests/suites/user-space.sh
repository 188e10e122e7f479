#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The tests that cargo runs: of the library, of the command, and of the programs for tests.
set -eu
cargo test --locked
