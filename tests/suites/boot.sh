#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# A part of the tests in a stock kernel.
. tests/suites/lib.sh
vm_tests true ioctl::
