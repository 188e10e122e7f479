#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# usage: foreign.sh ARCHITECTURE DIR PACKAGE...
#
# Unpacks into the root a C compiler and Rust's standard library for another architecture, and makes
# DIR, for kernels and guests of that architecture. DIR contains apt.conf, with which apt downloads
# packages of the architecture, and root, a Debian system with PACKAGEs. Their programs cannot run
# here, so these packages are not configured.
set -eu

architecture=$1 dir=$2
shift 2

mkdir "$dir"
mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" "$dir/root"
: > "$dir/status"
printf '%s\n' > "$dir/apt.conf" \
	"APT::Architecture \"$architecture\";" \
	"APT::Architectures { \"$architecture\"; };" \
	'APT::Sandbox::User "root";' \
	"Dir::State::lists \"$dir/lists\";" \
	"Dir::State::status \"$dir/status\";" \
	"Dir::Cache \"$dir/cache\";"
cd "$dir"
apt-get -o APT::Sandbox::User=root download gcc-14-aarch64-linux-gnu
dpkg-deb -x gcc-14-aarch64-linux-gnu_*.deb /
rm gcc-14-aarch64-linux-gnu_*.deb
export APT_CONFIG="$dir/apt.conf"
apt-get update
apt-get -o APT::Sandbox::User=root download libstd-rust-dev
dpkg-deb --fsys-tarfile libstd-rust-dev_*.deb | tar -x -C / ./usr/lib/rustlib
rm libstd-rust-dev_*.deb
apt-get install --yes --no-install-recommends --download-only '?essential' "$@"
# The first package contains the symbolic links /bin, /lib and /sbin.
for package in "$dir"/cache/archives/base-files_*.deb "$dir"/cache/archives/*.deb; do
	dpkg-deb -x "$package" "$dir/root"
done
rm "$dir"/cache/archives/*.deb
cp /etc/passwd /etc/group "$dir/root/etc"
cd "$dir/root"
mkdir -p dev lab mnt proc root run sys tmp usr/lib/modules
