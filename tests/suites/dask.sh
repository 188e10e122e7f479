#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# What docs/distributed.md says of Dask, with a scheduler and two workers on this machine. Variables
# are set here instead. Exits with 77 if there is no Dask to be had.
set -eu
folder=$(mktemp -d)
# shellcheck disable=SC2034 # The commands of the page use these variables.
VENV=build/examples/venv HOST=127.0.0.1 SCHEDULER="$folder/scheduler.json" FILE="$folder/a file"
head -c 3500000 /dev/urandom > "$FILE"
export DASK_TEMPORARY_DIRECTORY="$folder"

# The workers find a command that notes its parent, the worker.
real=$(realpath "$TOOLS/adler32")
cat > "$folder/adler32" << END
#!/bin/sh
[ "\$1" = sum ] && echo "\$PPID" >> "$folder/parents"
exec "$real" "\$@"
END
chmod +x "$folder/adler32"
PATH="$folder:$PATH"

command_with() {
	sed -n '/^## Dask/,$s/^    //p' docs/distributed.md | grep -v '^[A-Z]*=' | grep -e "$1"
}

processes=
start() {
	eval "exec $(command_with "$1")" > "$folder/log$2" 2>&1 &
	processes="$processes $!"
}

stop() {
	# shellcheck disable=SC2086 # A list.
	[ -z "$processes" ] || { kill $processes && wait $processes; } 2> /dev/null || true
	rm -rf "$folder"
}
trap stop EXIT

fail() {
	echo "$1"
	cat "$folder"/log*
	exit 1
}

skip() {
	echo "$1:"
	tail -n 3 "$folder/log"
	exit 77
}

# That of an earlier run will do.
$VENV/bin/pip --version > /dev/null 2>&1 ||
	eval "$(command_with '-m venv')" > "$folder/log" 2>&1 ||
	skip "Python cannot make a virtual environment"
if ! eval "$(command_with 'pip install')" > "$folder/log" 2>&1; then
	# That there is no such version is a failure; that pip finds nothing at all is none.
	$VENV/bin/pip download --no-deps --dest "$folder" dask > /dev/null 2>&1 ||
		skip "pip cannot get Dask"
	fail "pip cannot install what sum.py needs"
fi

start 'dask scheduler' 0
start 'dask worker' 1
start 'dask worker' 2
tries=0
until [ "$(cat "$folder/log1" "$folder/log2" 2> /dev/null | grep -c 'Registered to')" = 2 ]; do
	tries=$((tries + 1))
	[ $tries -lt 1500 ] || fail "the workers do not come"
	sleep 0.2
done

answer=$(eval "timeout 100 $(command_with 'sum.py')") || fail "sum.py failed"
expected="$(python3 tests/fixtures/zlib_sum.py "$FILE")  $FILE"
[ "$answer" = "$expected" ] || fail "the answer is $answer, not $expected"
workers=$(sort -u "$folder/parents" | wc -l)
[ "$workers" = 2 ] || fail "$workers worker had work"
