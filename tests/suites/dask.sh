#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# Runs the Dask commands of docs/distributed.md on this machine, with two workers and with other
# values for the variables. Exits with 77 if Dask cannot be installed.
set -eu
directory=$(mktemp -d)
# shellcheck disable=SC2034 # The commands of the page use these variables.
VENV=build/examples/venv HOST=127.0.0.1 SCHEDULER="$directory/scheduler.json" FILE="$directory/a file"
head -c 3500000 /dev/urandom > "$FILE"
export DASK_TEMPORARY_DIRECTORY="$directory"

# The workers run this command, which records its parent process, the worker.
real=$(realpath "$TOOLS/adler32")
cat > "$directory/adler32" << END
#!/bin/sh
[ "\$1" = sum ] && echo "\$PPID" >> "$directory/parents"
exec "$real" "\$@"
END
chmod +x "$directory/adler32"
PATH="$directory:$PATH"

command_with() {
	sed -n '/^## Dask/,$s/^    //p' docs/distributed.md | grep -v '^[A-Z]*=' | grep -e "$1"
}

processes=
start() {
	eval "exec $(command_with "$1")" > "$directory/log$2" 2>&1 &
	processes="$processes $!"
}

stop() {
	# shellcheck disable=SC2086 # A list.
	[ -z "$processes" ] || { kill $processes && wait $processes; } 2> /dev/null || true
	rm -rf "$directory"
}
trap stop EXIT

fail() {
	echo "$1"
	cat "$directory"/log*
	exit 1
}

skip() {
	echo "$1:"
	tail -n 3 "$directory/log"
	exit 77
}

# An environment of an earlier run is used again.
$VENV/bin/pip --version > /dev/null 2>&1 ||
	eval "$(command_with '-m venv')" > "$directory/log" 2>&1 ||
	skip "Python cannot make a virtual environment"
if ! eval "$(command_with 'pip install')" > "$directory/log" 2>&1; then
	# It is a failure if PyPI lacks the version, but not if pip can download nothing at all.
	$VENV/bin/pip download --no-deps --dest "$directory" dask > /dev/null 2>&1 ||
		skip "pip cannot get Dask"
	fail "pip cannot install what sum.py needs"
fi

start 'dask scheduler' 0
start 'dask worker' 1
start 'dask worker' 2
tries=0
until [ "$(cat "$directory/log1" "$directory/log2" 2> /dev/null | grep -c 'Registered to')" = 2 ]; do
	tries=$((tries + 1))
	[ $tries -lt 1500 ] || fail "the workers do not register"
	sleep 0.2
done

answer=$(eval "timeout 100 $(command_with 'sum.py')") || fail "sum.py failed"
expected="$(python3 tests/fixtures/zlib_sum.py "$FILE")  $FILE"
[ "$answer" = "$expected" ] || fail "the answer is $answer, not $expected"
workers=$(sort -u "$directory/parents" | wc -l)
[ "$workers" = 2 ] || fail "$workers of 2 workers computed"
