#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# Runs commands of docs/grid.md, in which DATA, LIST and FILE are files here.
set -euo pipefail
page=$PWD/docs/grid.md
directory=$(realpath "$(mktemp -d -p build)")
trap 'rm -r "$directory"' EXIT
cd "$directory"
mkdir -p DATA/sub
printf abcde > DATA/a.root
printf '\0\0\0\0' > DATA/sub/b.root
printf Wikipedia > "DATA/sub/new
line.root"
touch -d '1 hour ago' LIST DATA/*.root DATA/sub/*
touch DATA/a.root

# recipe BEGINNING: prints the command of the page that begins so, with all its lines.
recipe() {
	local commands
	commands=$(sed -n 's/^    //p' "$page" |
		awk -v beginning="$1" '
			!found && index($0, beginning) == 1 { found = 1; go = 1 }
			go { print; go = /[|\\]$/ }')
	[ -n "$commands" ] || fail "no such command: $1"
	echo "$commands"
}

fail() {
	echo "$1"
	exit 1
}

# check WHAT EXPECTED ANSWER
check() {
	[ "$3" = "$2" ] || fail "$1: '$3', not '$2'"
}

check "names of find" "05c801f0  DATA/a.root" "$(eval "$(recipe "find DATA -name")")"

# An interrupted list contains some of the files.
adler32 sum --json DATA/sub/new*line.root > LIST
eval "$(recipe "comm -z")"
check "files after resuming" 3 "$(jq -r .file LIST | grep -c '^DATA')"
eval "$(recipe "comm -z")"
check "nothing is summed twice" 3 "$(wc -l < LIST)"

adler32 sum DATA/a.root DATA/sub/new* > LIST
check "the audit" "DATA/a.root: OK
\\DATA/sub/new\\nline.root: OK
DATA/sub/b.root: NOT LISTED" "$(eval "$(recipe "adler32 sum -c --audit")" 2> error || true)"

eval "$(recipe "adler32 sum -r --xattr DATA")"
check "no damage" "" "$(eval "$(recipe "adler32 sum -c -r --xattr --quiet DATA")")"
time=$(stat -c %y DATA/sub/b.root)
printf '\0\0\1\0' > DATA/sub/b.root
touch -d "$time" DATA/sub/b.root
check "damage" "DATA/sub/b.root: FAILED" \
	"$(eval "$(recipe "adler32 sum -c -r --xattr --quiet DATA")" 2> error || true)"
check "damage in JSON" '"DATA/sub/b.root"' \
	"$(eval "$(recipe "adler32 sum -c -r --xattr --json")" 2> error | jq .file || true)"

cp DATA/a.root SOURCE
check "the copy" "05c801f0  DESTINATION" "$(eval "$(recipe "adler32 copy --preserve")")"
cmp SOURCE DESTINATION
adler32 sum -c --quiet --xattr DESTINATION
check "the bare checksum" 05c801f0 "$(cp SOURCE FILE && eval "$(recipe "adler32 sum --no-names")")"
echo "root://localhost//$PWD/SOURCE 05c801f0" > LIST
check "a list of gfal-sum" "/$PWD/SOURCE: OK" "$(eval "$(recipe "sed 's,root")")"
