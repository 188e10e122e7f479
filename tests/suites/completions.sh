#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The completions complete, in bash, fish and zsh.
set -eu
HOME=$(mktemp -d)
export HOME
trap 'rm -r "$HOME"' EXIT

# The words that the last one of a command line can become.
in_bash() {
	# shellcheck disable=SC1090
	source "build/completions/$1.bash"
	local function
	function=$(complete -p "$1" | sed 's/.* -F \([^ ]*\).*/\1/')
	COMP_WORDS=("$@")
	COMP_CWORD=$(($# - 1))
	"$function" "$1" "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}"
	echo "${COMPREPLY[*]}"
}

in_fish() {
	fish -c "source build/completions/$1.fish; complete --do-complete '$*'" | cut -f 1
}

# Types the words and a tab on a terminal. The command, a function, prints what it gets; the quotes
# make the echo of its definition something else.
in_zsh() {
	timeout 20 zsh -f -s -- "$@" <<- 'END'
		zmodload zsh/zpty
		zpty shell "zsh -f -i"
		zpty -w shell "fpath=($PWD/build/completions \$fpath)
			autoload -U compinit && compinit -u -D
			$1() { print got'': \$* end }"
		zpty -w shell "$*"$'\t'
		zpty -r -m shell answer '*got: *end*'
		print -r -- ${${${answer##*got: }%% end*}##* }
	END
}

check() {
	local shell=$1 expected=$2 answer
	shift 2
	answer=$("in_$shell" "$@")
	if [ "$answer" != "$expected" ]; then
		echo "$shell completes '$*' to '$answer', not '$expected'"
		exit 1
	fi
}

for shell in bash fish zsh; do
	check $shell combine adler32 com
	check $shell --threads adler32 sum --thr
	check $shell device adler32 sum --via de
	check $shell --json adler32 combine --js
	check $shell --recursive adler32sum --rec
	check $shell afalg adler32sum --via af
done

# Where bash gets nothing, it completes to files by itself.
check bash "" adler32sum ""
check bash "" adler32sum -c ""
check bash "" adler32 sum ""
check bash "auto device ioctl afalg cpu" adler32 sum --via ""
