# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# What the suites share. The test runner runs each suite with bash in the top directory and sets:
#
#   LAB              the lab
#   TOOLS            the directory of the programs for guests
#   SCOPE            check, test or soak
#   KERNEL, NEWEST   the suite's kernel, which is a series or SERIES-FLAVOUR, and the newest series
#   KERNELS          the kernels of all suites of this scope that the package index offers
#
# A suite prints "test result:" lines, as Rust's test programs do. The runner adds them up.
set -eu
exec 3>&1
passed=0 failed=0 skipped=0

# The C compiler for guests, and the directories of the programs that cargo and gcc build for them.
case $KERNEL in
*arm64*)
	compiler='aarch64-linux-gnu-gcc-14 -static' programs=${TOOLS/x86_64/aarch64}
	built=build/tests/arm64
	;;
*) compiler=gcc programs=$TOOLS built=build/tests ;;
esac

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
	"$LAB" vm --kernel "$KERNEL" --build . --path "$programs" "$@"
}

# Leaves out the tests that take longest.
# shellcheck disable=SC2034 # Suites use this variable.
SHORT="--skip reload_100_times --skip more_than_two_gibibytes --skip slot_table_is_bounded \
	--skip info:: --skip writers::"

# Leaves only the tests that depend most on the kernel's flavour: both interfaces, memory, splice,
# parameters, loading and unloading, and calls at the same time.
FLAVOUR="$SHORT --skip killed_ --skip mapping_holds --skip mapping_notices --skip again_and_again"
for theme in compat files io_uring lockdown pinned security stopping stream tools transfer users; do
	FLAVOUR+=" --skip $theme::"
done

# compile PROGRAM SOURCE [OPTION]...: other suites may be compiling the same program.
compile() {
	local program=$built/$1 source=$2
	shift 2
	mkdir -p "$built"
	# shellcheck disable=SC2086 # The compiler has an option.
	"$LAB" run $compiler -O2 -Wall -Wextra -Werror -Iinclude/uapi "$@" -o "$program.$$" "$source"
	mv "$program.$$" "$program"
}

# The packages with which clang builds 32-bit programs for arm64. Debian's gcc for these conflicts
# with gcc-multilib, which builds those for x86-64.
ARM32="binutils-arm-linux-gnueabihf clang libc6-dev-armhf-cross libgcc-14-dev-armhf-cross"

# vm_tests CHECK ARGUMENTS [OPTION]...: runs test-vm in a guest where the command CHECK must succeed
# first. The tests of writers start thousands of programs, so they run in User Mode Linux only.
vm_tests() {
	local check=$1 arguments=$2 example
	shift 2
	case $KERNEL in
	*arm64*)
		make --silent tools-arm64
		# The tests in the other scopes leave out compat::.
		if [ "$SCOPE" = soak ]; then
			"$LAB" run --packages "$ARM32" true
			compiler='clang --target=arm-linux-gnueabihf' \
				compile adler32-compat-32 tests/fixtures/compat.c -static
		fi
		;;
	*) compile adler32-compat-32 tests/fixtures/compat.c -m32 -static ;;
	esac
	compile adler32-compat-64 tests/fixtures/compat.c -static
	for example in session digest; do
		compile example-$example examples/c/$example.c
	done
	in_guest "$@" --build build/tests/modules --path "$built" \
		-- sh -c "$check && exec test-vm $arguments --skip writers:: 2>&1"
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

# uml_tests FLAVOUR PARAMETERS ARGUMENTS...: runs test-vm in User Mode Linux, once for each of the
# arguments, with additional parameters of the kernel.
# Implementations that QEMU cannot emulate run there. The skipped tests need what User Mode Linux
# lacks: 32-bit programs, device-mapper, huge pages, secret memory, device memory, the pages that
# the kernel maps into each program, and memory protection keys. User Mode Linux also reads
# PROT_NONE memory, limits mappings as its host limits those of a program, and has one processor, on
# which a write or a sendfile ends before another begins.
uml_tests() {
	local flavour=$1 parameters=$2 commands=true arguments
	shift 2
	compile_go
	for arguments; do
		commands+=" && test-vm 2>&1 $arguments \
			--skip compat:: --skip kernel_api::mapping_ --skip memory:: --skip huge_ \
			--skip mappings::secret --skip mappings::device_ --skip mappings::kernel_ \
			--skip ::protected_ --skip pinned::many_ --skip transfer::file_that_"
	done
	in_guest --flavour "$flavour" --append "$parameters" --packages "$WRITERS" \
		--build build/tests/modules --path build/tests -- sh -c "$commands"
}
