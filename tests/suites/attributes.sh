#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The command and xrdadler32 take the checksums that the other has stored in attributes, without
# reading the files.
set -eu
# The directory for temporary files may be on a file system without attributes.
directory=$(realpath "$(mktemp -d -p build)")
trap 'rm -rf "$directory"' EXIT
cd "$directory"
setfattr -n user.test -v x . || {
	echo "the file system has no extended attributes"
	exit 77
}

fail() {
	echo "$1"
	exit 1
}

# sum_with PROGRAM ARGUMENT... FILE: prints what the program prints, and whether it reads the file.
sum_with() {
	strace -f -y -e trace=read,pread64,readv,preadv2,mmap,copy_file_range,splice,sendfile -o trace "$@"
	if grep -q "$(eval "basename \"\${$#}\"")>" trace; then
		echo "and reads"
	else
		echo "and does not read"
	fi
}

check() {
	[ "$3" = "$2" ] || fail "$1: '$3', not '$2'"
}

read="and reads" taken="and does not read"
for size in 0 4 20000000; do
	rm -f ours theirs
	head -c $size /dev/zero > ours
	cp ours theirs
	touch -d '1 hour ago' ours theirs
	sum=$(python3 -c "import zlib; print(f'{zlib.adler32(bytes($size)):08x}')")
	check "our first sum of $size bytes" "$sum ours
$read" "$(sum_with adler32 sum --xrootd --xattr ours)"
	check "their second" "$sum ours
$taken" "$(sum_with xrdadler32 ours)"
	check "their first sum of $size bytes" "$sum theirs
$read" "$(sum_with xrdadler32 theirs)"
	check "our second" "$sum theirs
$taken" "$(sum_with adler32 sum --xrootd --xattr theirs)"
	check "the checksum program" "$sum
$taken" "$(sum_with adler32 xrootd --xattr "$PWD/theirs")"
	# Both records differ only in the time when the attribute was written.
	for file in ours theirs; do
		getfattr --only-values -n user.XrdCks.adler32 $file | od -A d -t x1 | sed '/^0000016/s/\(\( ..\)\{8\}\).*/\1/' > $file.record
	done
	cmp ours.record theirs.record || fail "the records differ"
	adler32 sum -c --quiet --xattr ours theirs || fail "our check of both"
done

# What xrdadler32 stored is not taken when the file has changed, even if its time was set back.
time=$(stat -c %Y theirs)
sleep 2.1
printf x | dd of=theirs conv=notrunc status=none
touch -d "@$time" theirs
sum=$(python3 -c "import zlib; print(f'{zlib.adler32(open(\"theirs\", \"rb\").read()):08x}')")
set +e
answer=$(sum_with adler32 sum --xrootd --xattr theirs 2> error)
set -e
check "our sum of a file with an old checksum" "$sum theirs
$read" "$answer"
grep -q "the stored checksum is" error || fail "no message about an old checksum"
! adler32 sum -c --status --xattr theirs || fail "our check misses a changed file"

# The attribute of old versions.
printf abcde > old
setfattr -n user.checksum.adler32 -v "05c801f0:$(stat -c %Y old)" old
adler32 sum -c --quiet --xattr old || fail "our check of an old attribute"
check "their sum with an old attribute" "05c801f0 old
$taken" "$(sum_with xrdadler32 old)"
check "our sum after theirs" "05c801f0 old
$taken" "$(sum_with adler32 sum --xrootd --xattr old)"
