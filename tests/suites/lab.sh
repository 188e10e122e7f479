#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The lab's tests that need no guest.
set -eu
cd lab
cargo test --locked --workspace --lib --bins
