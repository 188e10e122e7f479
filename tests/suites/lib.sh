# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# What the suites share. The test runner runs each suite with bash in the top directory and sets:
#
#   LAB              the lab
#   TOOLS            the directory of the programs for guests
#   SCOPE            check, test or soak
#   KERNEL, NEWEST   the suite's kernel, which is a series or SERIES-FLAVOUR, and the newest series
#
# A suite prints "test result:" lines, as Rust's test programs do. The runner adds them up.
set -eu
exec 3>&1
passed=0 failed=0 skipped=0

# run_case NAME COMMAND...: a case passes if the command succeeds and prints no warning. It is
# skipped if the command prints why it cannot run here and exits with 77, as in Automake.
run_case() {
	local name=$1 output status verdict=FAILED
	shift
	set +e
	output=$(set -e; "$@" 2>&1 | tee -a /dev/fd/3; exit "${PIPESTATUS[0]}")
	status=$?
	set -e
	if [ $status = 77 ]; then
		verdict=skipped skipped=$((skipped + 1))
	# Cargo warns when it tries a download again.
	elif [ $status = 0 ] && ! grep warning: <<< "$output" | grep -qv 'spurious network error'; then
		verdict=ok passed=$((passed + 1))
	else
		failed=$((failed + 1))
	fi
	echo "test $name ... $verdict"
}

# Prints the sum of the cases.
print_result() {
	local verdict=ok
	[ $failed = 0 ] || verdict=FAILED
	echo "test result: $verdict. $passed passed; $failed failed; $skipped ignored"
}

# in_guest [OPTION]... -- COMMAND: runs a command in a guest that has the module and the programs.
in_guest() {
	"$LAB" vm --kernel "$KERNEL" --build . --path "$TOOLS" "$@"
}

# Leaves out the tests that take longest.
# shellcheck disable=SC2034 # Suites use this variable.
SHORT="--skip reload_100_times --skip more_than_two_gibibytes --skip slot_table_is_bounded \
	--skip info:: --skip writers::"

# compile PROGRAM SOURCE [OPTION]...: other suites may be compiling the same program.
compile() {
	local program=build/tests/$1 source=$2
	shift 2
	"$LAB" run gcc -O2 -Wall -Wextra -Werror -Iinclude/uapi "$@" -o "$program.$$" "$source"
	mv "$program.$$" "$program"
}

# vm_tests CHECK ARGUMENTS [OPTION]...: runs test-vm in a guest where the command CHECK must succeed
# first. The tests of writers start thousands of programs, so they run in User Mode Linux only.
vm_tests() {
	local check=$1 arguments=$2 example
	shift 2
	case $KERNEL in
	*arm64*)
		arm64_tests "$check" "$arguments" "$@"
		return
		;;
	esac
	compile adler32-compat-32 tests/fixtures/compat.c -m32 -static
	compile adler32-compat-64 tests/fixtures/compat.c -m64 -static
	for example in session digest; do
		compile example-$example examples/c/$example.c
	done
	in_guest "$@" --build build/tests/modules --path build/tests \
		-- sh -c "$check && exec test-vm $arguments --skip writers:: 2>&1"
}

# arm64_tests CHECK ARGUMENTS [OPTION]...: like vm_tests, in a guest of arm64, which has its own
# programs. QEMU emulates the processor, so the tests that take longest there are left out, and so
# are those of C programs, which are compiled for x86-64. Three more tests rely on the firmware of
# x86-64 or on pages of 4 KiB.
arm64_tests() {
	local check=$1 arguments=$2 theme
	shift 2
	for theme in compat files info io_uring lockdown pinned security sharing stopping stream tools \
		transfer users; do
		arguments+=" --skip $theme::"
	done
	make --silent tools-arm64
	"$LAB" vm --kernel "$KERNEL" --build . --build build/tests/modules \
		--path "${TOOLS/x86_64/aarch64}" "$@" -- sh -c "$check && exec test-vm 2>&1 $arguments \
		--skip writers:: --skip killed_ --skip more_than_two --skip device_memory \
		--skip kernel_code_for_programs --skip splice_of_a_truncated_file"
}

# The programs of tests/vm/writers.rs that the lab's root lacks.
WRITERS="busybox golang-go pv rsync socat zstd"

# Builds the Go program of the tests of writers.
compile_go() {
	local program=build/tests/writer-go source=tests/fixtures/copy.go
	[ $program -nt $source ] && return
	"$LAB" run --packages "$WRITERS" env CGO_ENABLED=0 GOCACHE=/tmp/go go build \
		-o "$program.$$" "$source"
	mv "$program.$$" "$program"
}

# uml_tests FLAVOUR ARGUMENTS: runs test-vm in User Mode Linux, where implementations run that QEMU
# cannot emulate. The skipped tests need what User Mode Linux lacks: 32-bit programs, device-mapper,
# huge pages, secret memory, device memory, the pages that the kernel maps into each program, and
# memory protection keys. User Mode Linux also reads PROT_NONE memory, limits mappings as its host
# limits those of a program, and has one processor, on which a write or a sendfile ends before
# another begins.
uml_tests() {
	compile_go
	in_guest --flavour "$1" --packages "$WRITERS" --build build/tests/modules --path build/tests \
		-- sh -c "exec test-vm 2>&1 $2 \
		--skip compat:: --skip kernel_api::mapping_ --skip memory:: --skip huge_ \
		--skip mappings::secret --skip mappings::device_ --skip mappings::kernel_ \
		--skip ::protected_ --skip pinned::many_ --skip transfer::file_that_"
}
