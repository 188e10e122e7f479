#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The first process in a guest of another architecture than the host's, where the lab's own program
# cannot be init. Does what src/init.rs does, and takes the job that src/job.rs describes.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
port=/dev/vport0p

report() {
	sync
	echo "$1" >&3
	echo o > /proc/sysrq-trigger
	# Another program could not be read if the root's device is off before the machine is.
	kill -STOP $$
}

# What the guest writes stays in memory, over the read-only root. overlayfs lists directories with
# requests of as many pages as possible, and virtiofsd refuses to list more than 1 MiB. The limit of
# pages takes effect in later mounts, so the root is mounted once more.
if [ "$1" != writable ]; then
	mount -t proc none /proc && mount -t tmpfs none /mnt &&
		mkdir /mnt/lower /mnt/upper /mnt/work /mnt/root &&
		echo $((1048576 / $(getconf PAGESIZE))) > /proc/sys/fs/fuse/max_pages_limit &&
		mount -t virtiofs lower /mnt/lower &&
		mount -t overlay -o lowerdir=/mnt/lower,upperdir=/mnt/upper,workdir=/mnt/work none /mnt/root &&
		cd /mnt/root && mkdir -p lab && cp /lab/init /lab/job lab &&
		mount --move . / && exec chroot . /lab/init writable
	echo "lab: cannot make the root writable"
	exit 1
fi

set_up() {
	mount -t sysfs none /sys
	mkdir -p /dev/pts /dev/shm
	mount -t devpts -o gid=5,mode=620,ptmxmode=666 none /dev/pts
	mount -t tmpfs -o mode=1777 none /dev/shm
	mount -t tmpfs -o mode=755 none /run
	mount -t tmpfs -o mode=1777 none /tmp
	mount -t debugfs none /sys/kernel/debug
	mount -t cgroup2 none /sys/fs/cgroup
	ln -s /proc/self/fd /dev/fd
	ln -s /proc/self/fd/0 /dev/stdin
	ln -s /proc/self/fd/1 /dev/stdout
	ln -s /proc/self/fd/2 /dev/stderr
	mkdir -p "$1" && mount -t virtiofs directory "$1" || return
	hostname lab
	ip link set lo up
	/usr/lib/systemd/systemd-udevd --daemon
	udevadm trigger --action=add --settle --subsystem-match=misc
}

# Sets the size of the guest's terminal to what the host sends.
follow_size() {
	while read -r rows columns; do
		stty -F /dev/hvc0 rows "$rows" cols "$columns"
	done <&3
}

# Runs the job: how, the value of TERM, the directory, the value of PATH, the command.
run() {
	how=$1 dir=$3
	export TERM="$2" HOME=/root USER=root LANG=C.UTF-8
	job_path=$4
	shift 4
	mount -t devtmpfs none /dev
	# The kernel makes the ports a moment after their device.
	until [ -e ${port}1 ] && [ -e ${port}2 ] && [ -e ${port}3 ]; do sleep 0.02; done
	exec 3<> ${port}3
	if ! { set_up "$dir" && cd "$dir"; }; then report "failed no directory $dir"; fi
	if [ "$how" = terminal ]; then
		echo ready >&3
		follow_size &
		setsid --ctty --wait env PATH="$job_path" "$@" < /dev/hvc0 > /dev/hvc0 2>&1 3>&-
		report "exit $?"
	fi
	# A port can be opened only once. With a pipe before it, /dev/stdout works as usual.
	mkfifo /run/stdout /run/stderr
	cat < /run/stdout > ${port}1 &
	cat < /run/stderr > ${port}2 &
	echo ready >&3
	env PATH="$job_path" "$@" < /dev/null > /run/stdout 2> /run/stderr 3>&-
	status=$?
	wait
	report "exit $status"
}

# The fields of the job end with NULs. The arguments of this function are the fields.
if [ $# = 1 ]; then
	mount -t proc none /proc
	exec xargs -0 -a /lab/job /lab/init writable
fi
shift
run "$@"
