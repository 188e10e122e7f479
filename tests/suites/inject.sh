#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# Each allocation and each copy fails once.
. tests/suites/lib.sh
in_guest --flavour uml-debug --build build/tests/modules -- sh -c 'exec test-inject 2>&1'
