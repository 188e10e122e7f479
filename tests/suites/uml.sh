#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The tests in User Mode Linux, at full speed.
. tests/suites/lib.sh
uml_tests uml ''
