#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# A server sends the digests that the command prints. The command checks the headers that curl
# prints, and davix takes the digests.
set -eu
directory=$(mktemp -d)
files=$directory/files
mkdir "$files"
: > "$files/empty"
printf '\0\0\0\0' > "$files/zeros"
printf Wikipedia > "$files/a name with spaces"
python3 tests/fixtures/digest_server.py "$files" > "$directory/port" &
server=$!
trap 'kill $server; rm -r "$directory"' EXIT
tries=0
until [ -s "$directory/port" ]; do
	tries=$((tries + 1))
	[ $tries -lt 100 ] || { echo "the server does not start"; exit 1; }
	sleep 0.1
done
url=http://127.0.0.1:$(cat "$directory/port")

fail() {
	echo "$1"
	cat "$directory/headers"
	exit 1
}

for name in empty zeros "a name with spaces"; do
	path=$(echo "$name" | sed 's/ /%20/g')
	curl -sI "$url/$path" > "$directory/headers"
	results=$(adler32 sum -c --name "$files/$name" "$directory/headers") || fail "$results"
	[ "$(echo "$results" | grep -c ': OK$')" = 3 ] || fail "$results"
	# Another content is found.
	! adler32 sum -c --status --name tests/suites/http.sh "$directory/headers" || fail "another file"
	# gfal-sum asks by davix, which takes the digest from the header.
	sum=$(adler32 sum --no-names "$files/$name")
	answer=$(gfal-sum "$url/$path" ADLER32) || fail "gfal-sum"
	[ "$answer" = "$url/$path $sum" ] || fail "gfal-sum prints '$answer'"
done
