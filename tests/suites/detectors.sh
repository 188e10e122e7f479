#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The detectors of the debug kernel report what they are made to detect.
set -eu
"$TOOLS/test-detectors"
