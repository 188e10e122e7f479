#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# man finds every manual page by its name and formats it without a warning.
set -eu
for page in build/man/man1/*.1; do
	name=$(basename "$page" .1)
	text=$(man --warnings=w --manpath "$PWD/build/man" "$name")
	case $text in
	*NAME*SYNOPSIS*DESCRIPTION*"SEE ALSO"*) ;;
	*) echo "sections are missing in $page:" && echo "$text" && exit 1 ;;
	esac
done
man --warnings=w --local-file docs/man/adler32.4 > /dev/null
