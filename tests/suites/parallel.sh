#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# What docs/distributed.md says of GNU parallel, with another ssh in PATH. Variables are set here instead;
# the last range begins at the end of the file.
set -eu
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
export HOME="$folder" SSH_LOG="$folder/hosts"
# shellcheck disable=SC2034 # The commands of the page use these variables.
HOSTS=node1,node2 FILE="$folder/a file" RANGE=500000
head -c 3500000 /dev/urandom > "$FILE"

commands=$(sed -n '/^## GNU parallel/,/^## /s/^    //p' docs/distributed.md)
answer=$(eval "$(echo "$commands" | grep -v '^[A-Z]*=')")

expected="$(python3 tests/fixtures/zlib_sum.py "$FILE")  $FILE"
[ "$answer" = "$expected" ] || { echo "the answer is $answer, not $expected"; exit 1; }
hosts=$(sort -u "$SSH_LOG" | xargs)
[ "$hosts" = "node1 node2" ] || { echo "these hosts had work: $hosts"; exit 1; }
