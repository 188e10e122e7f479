#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The tests in User Mode Linux, at full speed; outside "make soak" those that the suites "vm" and
# "uml-debug" leave out. The one that takes longest runs in the suite "vm".
. tests/suites/lib.sh
if [ "$SCOPE" = soak ]; then
	uml_tests uml '--skip slot_table_is_bounded'
else
	uml_tests uml writers:: info:: reload_100_times
fi
