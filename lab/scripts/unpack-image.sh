#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# usage: unpack-image.sh RELEASE
#
# Unpacks the packages of the kernel RELEASE in the current directory into the root, without
# installing them, and removes the packages.
set -e

release=$1

for package in linux-*-"$release"_*.deb; do
	dpkg-deb -x "$package" /
	rm "$package"
done

# depmod lists uncompressed modules in half a second instead of seven. The lab runs it again for
# each module under test.
cd "/usr/lib/modules/$release"
find kernel -name '*.xz' -print0 | xargs -0r -n 200 -P "$(nproc)" xz -df
depmod "$release"
