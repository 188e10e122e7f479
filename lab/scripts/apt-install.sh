#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# usage: apt-install.sh PACKAGE...
#
# Installs Debian packages. If another process holds a lock of apt or dpkg, waits up to ten minutes:
# a new cloud machine updates itself after its first boot. The tests set a shorter limit in the
# variable APT_WAIT, in seconds.
set -eu

limit=${APT_WAIT:-600}
waited=0
shown=
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT

# Prints the lock that apt-get could not get, and the process that holds it.
lock() {
	sed -n -e 's/^E: Could not get lock \([^ ]*\)\. It is held by \(.*\)/\1 is held by \2/p' \
		-e 's/^E: Could not get lock \([^ ]*\) - open.*/\1 is held by another process/p' \
		-e 's/^dpkg: error: \(.*\)lock was locked by another\(.*\)/the \1lock is held by another\2/p' \
		"$errors" | head -n 1
}

# Runs apt-get, and again while another process holds a lock.
apt_get() {
	until apt-get "$@" 2>"$errors"; do
		lock=$(lock)
		if [ -z "$lock" ]; then
			cat "$errors" >&2
			return 1
		fi
		if [ "$waited" -ge "$limit" ]; then
			echo "apt-install: $lock: giving up after $limit seconds" >&2
			exit 1
		fi
		if [ "$lock" != "$shown" ]; then
			echo "apt-install: $lock: waiting for at most $limit seconds" >&2
			shown=$lock
		fi
		sleep 2
		waited=$((waited + 2))
	done
	cat "$errors" >&2
}

# Installing can succeed with an old package index, for example if an archive is not reachable.
apt_get update -qq || echo "apt-install: cannot update the package index: trying to install" >&2
apt_get install --quiet --yes --no-install-recommends "$@"
