#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The tests in User Mode Linux, at full speed. The one that takes longest runs in the suite "vm".
. tests/suites/lib.sh
uml_tests uml '' '--skip slot_table_is_bounded'
