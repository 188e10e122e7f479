#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The tests in User Mode Linux with detectors; outside "make soak" without those that take longest.
. tests/suites/lib.sh
arguments=
[ "$SCOPE" = soak ] || arguments=$SHORT
uml_tests uml-debug '' "$arguments"
