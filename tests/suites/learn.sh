#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The commands of docs/learn.md print what the page shows: first those for a guest, then those for
# the host.
. tests/suites/lib.sh
in_guest --append adler32.implementation=portable --build build/tests/modules/learn \
	-- test-learn docs/learn.md '#'
PATH=${LAB%/*}:$PATH "$TOOLS/test-learn" docs/learn.md '$'
