#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The Debian packages in a clean Debian.
set -eu
make --no-print-directory test-packages
