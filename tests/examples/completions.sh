# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# The completions complete, in bash and fish; zsh finds and loads its own.
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

check() {
	local expected=$1 shell answer
	shift
	for shell in bash fish; do
		answer=$("in_$shell" "$@")
		if [ "$answer" != "$expected" ]; then
			echo "$shell completes '$*' to '$answer', not '$expected'"
			exit 1
		fi
	done
}

check combine adler32 com
check --threads adler32 sum --thr
check device adler32 sum --via de
check --json adler32 combine --js
check --recursive adler32sum --rec
check afalg adler32sum --via af

for command in adler32 adler32sum; do
	zsh -f -c "fpath=(build/completions \$fpath)
		autoload -U compinit && compinit -u -D
		[[ \$_comps[$command] = _$command ]] && autoload +X _$command" ||
		{ echo "zsh has no completions of $command"; exit 1; }
done
