#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# Rucio's client computes checksums with the command. Exits with 77 if the client cannot be
# installed.
set -eu
VENV=build/examples/rucio
log=$(mktemp)
trap 'rm "$log"' EXIT
{
	$VENV/bin/pip --version || python3 -m venv $VENV
	$VENV/bin/pip install -r examples/rucio/requirements.txt
} > "$log" 2>&1 || {
	echo "pip cannot install Rucio's client:"
	tail -n 3 "$log"
	exit 77
}
export PATH="$PWD/$TOOLS:$PATH" PYTHONDONTWRITEBYTECODE=1
$VENV/bin/python examples/rucio/test.py
# The program of Rucio starts with the module.
$VENV/bin/python examples/rucio/rucio_adler32.py "$VENV/bin/rucio" --help | grep -q upload
