#!/bin/sh
#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# An XRootD server whose checksum program is the command, and its clients. The server cannot be
# limited to the loopback address, so it gets a network that has no other.
set -eu
if [ "${1:-}" != inside ]; then
	exec unshare --net sh "$0" inside
fi
ip link set lo up

directory=$(mktemp -d)
files=$directory/files
command=$directory/adler32
servers=
stop() {
	# shellcheck disable=SC2086 # A list.
	[ -z "$servers" ] || { kill $servers && wait $servers; } 2> /dev/null || true
	rm -rf "$directory"
}
trap stop EXIT

fail() {
	echo "$1"
	tail -n 20 "$directory"/*.log
	exit 1
}

# check WHAT EXPECTED ANSWER
check() {
	[ "$3" = "$2" ] || fail "$1: '$3', not '$2'"
}

# The server does not run as root, and the directory of the build may be closed to its user.
cp "$(command -v adler32)" "$command"
mkdir "$files"
: > "$files/empty"
printf abcde > "$files/abcde"
printf '\0\0\0\0' > "$files/zeros"
printf Wikipedia > "$files/a name  with spaces"
printf secret > "$files/unreadable"
head -c 20000000 /dev/urandom > "$files/long"
long=$(python3 tests/fixtures/zlib_sum.py "$files/long")
chown -R daemon "$directory"
chmod -R a+rX "$directory"
chown root "$files/unreadable"
chmod 0 "$files/unreadable"

# start NAME PORT: starts a server with the configuration on the standard input.
start() {
	{
		echo "xrd.port $2"
		echo "all.adminpath $directory"
		echo "all.pidpath $directory"
		cat
	} > "$directory/$1.cf"
	xrootd -R daemon -n "$1" -c "$directory/$1.cf" > "$directory/$1.log" 2>&1 < /dev/null &
	servers="$servers $!"
	tries=0
	until xrdfs "localhost:$2" query config version > /dev/null 2>&1; do
		tries=$((tries + 1))
		[ $tries -lt 100 ] || fail "the server $1 does not answer"
		sleep 0.1
	done
}

export XRD_CONNECTIONRETRY=1 XRD_STREAMERRORWINDOW=0
http=$(ls /usr/lib/*/libXrdHttp-5.so)
start one 1094 << END
all.export $files
xrootd.chksum max 4 adler32 $command xrootd
xrd.protocol http:8000 $http
END
start several 1095 << END
all.export /
oss.localroot $files
xrootd.chksum max 4 adler32 crc32 $command xrootd
END
one=root://localhost:1094/$files
several=root://localhost:1095/

# query PATH: with both servers. The second one gets the path below its own root.
query() {
	xrdfs localhost:1094 query checksum "$files/$1" 2>&1
	xrdfs localhost:1095 query checksum "/$1?cks.type=adler32" 2>&1
}

# twice SUM: the answer of the two servers.
twice() {
	printf 'adler32 %s\nadler32 %s' "$1" "$1"
}

check "an empty file" "$(twice 00000001)" "$(query empty)"
check "leading zeros" "$(twice 00040001)" "$(query zeros)"
check "a name with spaces" "$(twice 11e60398)" "$(query "a name  with spaces")"
check "a long file" "$(twice "$long")" "$(query long)"
for case in "none:3011:No such file or directory" "unreadable:3010:Permission denied" \
	".:3016:Is a directory"; do
	name=${case%%:*} error=${case#*:}
	answer=$(query "$name" || true)
	for word in "${error%%:*}" "${error#*:}"; do
		[ "$(echo "$answer" | grep -c "$word")" = 2 ] || fail "$name: $answer"
	done
done
answer=$(xrdfs localhost:1095 query checksum "/abcde?cks.type=crc32" 2>&1 || true)
case $answer in
*"crc32 checksum not supported, only adler32"*) ;;
*) fail "another type: $answer" ;;
esac

for server in "$one" "$several"; do
	for case in empty:00000001 abcde:05c801f0 zeros:00040001 "a name  with spaces:11e60398" \
		"long:$long"; do
		name=${case%:*} sum=${case##*:}
		check "xrdadler32 of $name" "$sum $server/$name" "$(xrdadler32 "$server/$name")"
		for value in source "$sum"; do
			xrdcp -f -s --cksum "adler32:$value" "$server/$name" "$directory/copy" \
				> "$directory/xrdcp.log" 2>&1 ||
				fail "xrdcp --cksum adler32:$value of $name"
			cmp "$files/$name" "$directory/copy"
			# And in the other direction.
			xrdcp -f -s --cksum "adler32:$value" "$directory/copy" "$server/upload" \
				> "$directory/xrdcp.log" 2>&1 ||
				fail "xrdcp --cksum adler32:$value to $server"
		done
		! xrdcp -f -s --cksum adler32:00000002 "$server/$name" "$directory/copy" 2> /dev/null ||
			fail "xrdcp takes another checksum of $name"
	done
done

# What xrdcp prints, we check. It omits leading zeros.
xrdcp -f -s --cksum adler32:print "$one/zeros" "$directory/copy" 2> "$directory/printed"
check "xrdcp prints" "adler32: 40001 $directory/copy 4" "$(cat "$directory/printed")"
adler32 sum -c --quiet "$directory/printed" || fail "the checksum that xrdcp prints"
xrdfs localhost:1094 query checksum "$files/abcde" | adler32 sum -c --quiet --name "$files/abcde" ||
	fail "the checksum that xrdfs prints"

# gfal-sum writes the name first.
if gfal-sum --version > /dev/null 2>&1; then
	for name in empty zeros abcde; do
		gfal-sum "$one/$name" ADLER32
		gfal-sum "file://$files/$name" ADLER32
	done > "$directory/list" 2> "$directory/gfal.log" || fail "gfal-sum"
	sed 's,root://[^/]*/,,' "$directory/list" > "$directory/local"
	adler32 sum -c --quiet "$directory/local" || fail "$(cat "$directory/list")"
else
	echo "no gfal-sum here: the packages offer none that runs"
fi

# HTTP: the digest in a header.
for name in empty zeros abcde long; do
	curl -sI -H 'Want-Digest: adler32' "http://localhost:8000/$files/$name" > "$directory/headers"
	grep -qi '^Digest: adler32=' "$directory/headers" || fail "$(cat "$directory/headers")"
	adler32 sum -c --quiet --name "$files/$name" "$directory/headers" || fail "$(cat "$directory/headers")"
done

# 16 clients at once, four programs at a time.
clients=
for number in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
	cp "$files/long" "$files/long$number"
	printf "%s" "$number" >> "$files/long$number"
done
for number in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
	xrdfs localhost:1094 query checksum "$files/long$number" > "$directory/answer$number" 2>&1 &
	clients="$clients $!"
done
for client in $clients; do
	wait "$client" || fail "a client of 16"
done
for number in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
	check "client $number" "adler32 $(python3 tests/fixtures/zlib_sum.py "$files/long$number")" \
		"$(cat "$directory/answer$number")"
done
