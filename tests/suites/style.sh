#!/bin/bash
# SPDX-License-Identifier: GPL-2.0 OR MIT
#
# Formatting, lints, and the rules of CONTRIBUTING.md that a program can check. A check of a rule
# prints each place that breaks the rule.
. tests/suites/lib.sh
# Columns are characters.
export LC_ALL=C.UTF-8

# files PATTERN...: prints the paths of the project's files with such names.
files() {
	local pattern names=()
	for pattern; do
		names+=(-o -name "$pattern")
	done
	find -- * .ci \( -name build -o -name LICENSES \) -prune -o \
		-type f \( "${names[@]:1}" \) -print
}

scripts() {
	files '*.sh'
	files '*' | grep -v '\.sh$' | xargs grep -lE '^#!/bin/(ba)?sh'
}

# finds_nothing COMMAND...: a check prints each place that breaks its rule.
finds_nothing() {
	local found
	# grep exits with 1 if it finds nothing.
	found=$("$@" 2>&1) || [ $? = 1 ]
	[ -z "$found" ] || { echo "$found"; exit 1; }
}

# over_100 EXPRESSION: prints the lines of more than 100 columns in the files that standard input
# lists, if a Perl expression is true for the line.
over_100() {
	# shellcheck disable=SC2016 # The variables are Perl's.
	xargs perl -CSD -ne '
		1 while s/\t/" " x (8 - $-[0] % 8)/e;
		print "$ARGV:$.: $_" if ('"$1"') && /.{101}/;
		close ARGV if eof'
}

long_comments() {
	{ files '*.rs' '*.c' '*.h' '*.py' '*.mk' Makefile Kbuild; scripts; } |
		over_100 'm{^ *(//|/?\*|#)| // }'
}

# Code blocks and tables may be wider.
long_prose() {
	# shellcheck disable=SC2016 # The variable is Perl's.
	files '*.md' | over_100 '/^ *```/ && ($code = !$code), !$code && !/^(    | *\|)/'
}

safety_comments() {
	files '*.rs' | xargs grep -nE 'SAFETY|Safety:' | grep -vE '// SAFETY: ([^[:lower:]]|\w+\(\))'
}

# A manifest contains the lints or takes those of its workspace.
missing_lints() {
	local file lint
	for file in $(files Cargo.toml); do
		if grep -qx '\[package\]' "$file" && ! grep -qE '^\[lints(\.clippy)?\]' "$file"; then
			echo "$file: no lints"
		elif ! grep -A 1 '^\[lints\]' "$file" | grep -qx 'workspace = true' ||
			grep -qx '\[workspace\]' "$file"; then
			for lint in unsafe_op_in_unsafe_fn undocumented_unsafe_blocks; do
				grep -qx "$lint = \"warn\"" "$file" || echo "$file: no $lint"
			done
		fi
	done
}

# CONTRIBUTING.md lists the files that may be unsafe.
misplaced_unsafe() {
	grep -rnw unsafe src --include='*.rs' | grep -vE ':[0-9]+: *//' | grep -vE \
		'^src/(kernel_ext/|adler32/(x86/|mod\.rs|platform\.rs)|platform\.rs|chrdev\.rs)'
}

# Words that other words have replaced, and turns that are not plain English.
unused_words() {
	local words='anew|[Mm]eanwhile|[Ww]hoever|[Ff]or want of|[Bb]ut for|mend(s|ed|ing)?|[Dd]oors?|
		engines?|[Ff]olders?|fuzz[-_]doors|vm-suite|run-tests|[Bb]eside|gives? back|its like|
		as things are|who computes|(behavi|col)our|licence'
	files '*' | grep -vE '\.(svg|lock)$|^tests/suites/style.sh$' |
		xargs grep -nIwE "${words//[$'\n\t']/}"
}

# Prints the anchors of a page's headings, as GitHub makes them.
anchors() {
	sed -n 's/^##* //p' "$1" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9_\n-'
}

dead_links() {
	local file line link page
	for file in $(files '*.md'); do
		grep -noE '(\]\(|^\[[^]]+\]: )[^):[:space:]]+(\)|$)' "$file" |
			sed -E 's/:(\]\(|\[.*\]: )/ /; s/\)$//' | while read -r line link; do
				page=${link%%#*}
				page=${page:+$(dirname "$file")/$page}
				case $link in
				*#*) anchors "${page:-$file}" | grep -qxe "${link#*#}" ;;
				*) test -e "$page" ;;
				esac || echo "$file:$line: $link"
			done
	done
}

check_scripts() {
	local scripts
	mapfile -t scripts < <(scripts)
	"$LAB" run --packages shellcheck shellcheck --external-sources "${scripts[@]}"
}

# Test programs and benchmarks share code by libraries.
shared_files() {
	grep -rnE '#\[path = "\.\./' tests bench --include='*.rs'
}

# Prints pairs of files: a file that imports, and the file from which it imports. Leaves out test
# modules, and imports by a module from its own submodules.
imports() {
	# shellcheck disable=SC2016 # The variables are Perl's.
	files '*.rs' | xargs perl -e '
		undef $/;
		for my $file (@ARGV) {
			my $root = $file;
			while ($root =~ s{/[^/]*$}{}) { last if -e "$root/main.rs" || -e "$root/lib.rs" }
			my ($module) = $file =~ m{^\Q$root\E/(.*?)(?:/mod)?\.rs$} or next;
			open my $in, "<", $file or die "$file: $!";
			my $text = <$in>;
			$text =~ s/^mod \w+ \{.*//ms;
			$text =~ s{//.*| as \w+|[\s*]}{}g;
			# Braces in an import mean the same as in glob().
			for my $path (map { glob } $text =~ /use((?:crate|super)::[^;]+)/g) {
				my $base = $module;
				$base =~ s{/?\w+$}{} while $path =~ s/^super:://;
				$base = "" if $path =~ s/^crate:://;
				$path = "/$base/$path" =~ s{::|/+}{/}gr;
				$path =~ s{/[^/]*$}{} until -e "$root$path.rs" || -e "$root$path/mod.rs" || !$path;
				print "$root/$module $root$path\n" if $path && "$path/" !~ m{^/\Q$module\E/};
			}
		}'
}

no_circles() {
	set -o pipefail
	imports | tsort > /dev/null
}

tests_exist() {
	local names name theme
	# shellcheck disable=SC2016 # The quotes are Markdown.
	names=$(grep -o '`[a-z0-9_]*::[a-z0-9_]*`' SECURITY.md)
	for name in ${names//\`/}; do
		theme=${name%::*}
		# shellcheck disable=SC2046 # A list.
		grep -qs "fn ${name#*::}()" tests/*/"$theme".rs $(grep -rl "kunit_tests($theme)" src) || {
			echo "there is no test $name"
			exit 1
		}
	done
}

one_version() {
	local version
	version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
	grep -qx "version = \"$version\"" lab/kit/Cargo.toml
	grep -qE "^## $version(,|$)" CHANGELOG.md
}

run_case "user space is formatted" cargo fmt --all --check
run_case "the lab is formatted" env -C lab cargo fmt --all --check
run_case "the fuzz target is formatted" env -C fuzz cargo fmt --check
run_case "the benchmark is formatted" env -C bench/core cargo fmt --check
run_case "the module is formatted" rustfmt --check src/lib.rs
run_case "clippy has nothing to say on user space" \
	cargo clippy --locked --all-targets -- -D warnings
run_case "rustdoc has nothing to say on the library" \
	env RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --package adler32
run_case "clippy has nothing to say on the lab" \
	env -C lab cargo clippy --locked --workspace --all-targets -- -D warnings
run_case "clippy has nothing to say on the benchmark" \
	env -C bench/core cargo clippy --release --locked --all-targets -- -D warnings
run_case "lints are on in every crate" finds_nothing missing_lints
run_case "comments have at most 100 columns" finds_nothing long_comments
run_case "documents have at most 100 columns" finds_nothing long_prose
run_case "safety comments have one form" finds_nothing safety_comments
run_case "unsafe is only in files that may contain it" finds_nothing misplaced_unsafe
run_case "words that were replaced are not used" finds_nothing unused_words
run_case "links in documents lead somewhere" finds_nothing dead_links
run_case "shellcheck has nothing to say on scripts" check_scripts
run_case "programs share code by libraries" finds_nothing shared_files
run_case "files do not import each other in circles" no_circles
run_case "the tests that SECURITY.md names exist" tests_exist
run_case "all that is released has one version" one_version
print_result
