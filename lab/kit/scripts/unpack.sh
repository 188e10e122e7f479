#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# usage: unpack.sh NAME FILE TREE [TAR-OPTION]...
#
# Unpacks the kernel source NAME into the directory TREE. FILE is NAME.tar.xz, an archive of the
# directory NAME, or a Debian package that contains that archive.
set -eo pipefail

name=$1 file=$2 tree=$3
shift 3

print_archive() {
	case $file in
	*.deb) dpkg-deb --fsys-tarfile "$file" | tar -xO "./usr/src/$name.tar.xz" ;;
	*) cat "$file" ;;
	esac
}

# Whatever the caller's umask and the archive say: only the caller may change the files.
umask 022
mkdir -p "$tree"
print_archive | xz --decompress --stdout --threads=0 |
	tar -x -C "$tree" --no-same-owner --no-same-permissions \
		--strip-components=1 --anchored --wildcards "$@"
