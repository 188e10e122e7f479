#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# Runs the GNU parallel commands of docs/distributed.md with tests/fixtures/ssh in PATH, and with
# other values for the variables. The last range begins at the end of the file.
set -eu
directory=$(mktemp -d)
trap 'rm -r "$directory"' EXIT
export HOME="$directory" SSH_LOG="$directory/hosts"
# shellcheck disable=SC2034 # The commands of the page use these variables.
HOSTS=node1,node2 FILE="$directory/a file" RANGE=500000
head -c 3500000 /dev/urandom > "$FILE"

commands=$(sed -n '/^## GNU parallel/,/^## /s/^    //p' docs/distributed.md)
answer=$(eval "$(echo "$commands" | grep -v '^[A-Z]*=')")

expected="$(python3 tests/fixtures/zlib_sum.py "$FILE")  $FILE"
[ "$answer" = "$expected" ] || { echo "the answer is $answer, not $expected"; exit 1; }
hosts=$(sort -u "$SSH_LOG" | xargs)
[ "$hosts" = "node1 node2" ] || { echo "only these hosts computed: $hosts"; exit 1; }
