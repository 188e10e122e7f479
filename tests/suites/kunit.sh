#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The module's own tests, which the kernel runs when the module is loaded. A planned test that does
# not pass has failed, and all have failed if the kernel reports trouble.
. tests/suites/lib.sh
results=$(in_guest --flavour uml-debug --append 'kunit.enable=1 kunit.autorun=1' \
	-- sh -c 'modprobe adler32 && cat /sys/kernel/debug/kunit/adler32_*/results')
awk '
	{ print }
	/^    1\.\./ { planned += substr($1, 4) }
	/^    ok / { if (/# SKIP/) skipped++; else passed++ }
	END {
		printf "test result: KTAP. %d passed; %d failed; %d ignored\n",
			passed, planned - passed - skipped, skipped
	}' <<< "$results"
