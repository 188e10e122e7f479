#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# "make install" installs everything that is made for users, and "make uninstall" removes it.
. tests/suites/lib.sh

install_and_remove() {
	local tree=$PWD/build/install release arguments file sum
	"$TOOLS/adler32-docs" build
	# shellcheck disable=SC2012 # The names are those of kernel releases.
	release=$(cd build/module && ls -td "$KERNEL".*+deb??-amd64 | head -n 1)
	rm -rf "$tree"
	# These directories are empty at first, and stay.
	mkdir -p "$tree"/{lib/modules/"$release",usr/{bin,include,lib/udev,share/man/man1}}
	find "$tree" > build/before
	arguments=(DESTDIR="$tree" prefix=/usr KDIR="$("$LAB" run "${LAB%/*}/rust-kernel-kit" "$release")")
	"$LAB" run make --no-print-directory "${arguments[@]}" install
	find "$tree" -type f -exec sha256sum {} + > build/installed
	for file in build/man/man*/* build/completions/* docs/man/adler32.4 udev/* \
		packaging/systemd/* include/uapi/linux/*; do
		sum=$(sha256sum < "$file")
		grep -q "^${sum%% *}" build/installed || { echo "$file is not installed"; exit 1; }
	done
	"$tree/usr/bin/adler32sum" Kbuild
	test -f "$tree/lib/modules/$release/updates/adler32.ko.xz"
	"$LAB" run make --no-print-directory "${arguments[@]}" uninstall
	find "$tree" | diff build/before -
}

run_case "what is installed can be removed" install_and_remove
print_result
