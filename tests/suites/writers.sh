#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The tests that start most programs, and those that load the module most often. kmemleak and the
# record of who allocated each object are off, because they would double the time. In "make soak",
# the suite "uml" runs these tests without detectors, and with more files.
. tests/suites/lib.sh
uml_tests uml-debug 'kmemleak=off slab_debug=-' 'writers:: --skip _more_files' info:: reload_100_times
