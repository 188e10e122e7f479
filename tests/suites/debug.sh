#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The tests in the debug kernel.
. tests/suites/lib.sh
vm_tests true '' --flavour debug --timeout 3600
