#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The lab's tests that boot guests.
set -eu
cd lab
cargo test --locked --test vm -- --ignored
