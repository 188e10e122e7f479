#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# Checks the completions in bash, fish and zsh.
set -eu
HOME=$(mktemp -d)
export HOME
trap 'rm -r "$HOME"' EXIT

# Prints the words to which bash can complete the last word of a command line.
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

# Types the words and a tab on a terminal. The command is a function that prints its arguments after
# "got: ". The quotes in the definition keep the terminal's echo of it from matching.
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
	check $shell --recursive adler32sum --recu
	check $shell afalg adler32sum --via af
done

# If a completion is empty, bash completes file names itself.
check bash "" adler32sum ""
check bash "" adler32sum -c ""
check bash "" adler32 sum ""
check bash "auto device ioctl afalg cpu" adler32 sum --via ""
