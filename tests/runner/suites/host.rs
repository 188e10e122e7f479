// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What needs no kernel of a certain series.

use super::Environment;
use super::Part;
use super::Stage;
use super::Suite;
use super::Work;

pub fn suites() -> Vec<Suite> {
    const CHECK: &[Part] = &[Part::Check, Part::Test];
    const TEST: &[Part] = &[Part::Test];
    const SOAK: &[Part] = &[Part::Soak];
    let suite = |name: &str, parts, work| Suite {
        name: name.to_owned(),
        parts,
        stage: Stage::Build,
        environment: Environment::default(),
        work,
    };
    vec![
        suite("style", CHECK, Work::Cases(STYLE)),
        suite("user-space", CHECK, Work::Tests(USER_SPACE)),
        suite("lab", CHECK, Work::Tests(LAB)),
        suite("bench", TEST, Work::Cases(BENCH)),
        suite("fuzz", TEST, Work::Cases(FUZZ)),
        suite("memory", TEST, Work::Tests(MEMORY)),
        suite("examples", TEST, Work::Cases(EXAMPLES)),
        Suite {
            stage: Stage::Use,
            ..suite("lab-guest", TEST, Work::Tests(LAB_GUEST))
        },
        suite("packages", SOAK, Work::Tests(PACKAGES)),
    ]
}

const STYLE: &[(&str, &str)] = &[
    ("user space is formatted", "cargo fmt --all --check"),
    ("the lab is formatted", "cd lab; cargo fmt --all --check"),
    ("the fuzz target is formatted", "cd fuzz; cargo fmt --check"),
    (
        "the benchmark is formatted",
        "cd bench/core; cargo fmt --check",
    ),
    ("the module is formatted", "rustfmt --check src/lib.rs"),
    (
        "clippy has nothing to say on user space",
        "cargo clippy --locked --all-targets -- -D warnings",
    ),
    (
        "rustdoc has nothing to say on the library",
        "RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --package adler32",
    ),
    (
        "clippy has nothing to say on the lab",
        "cd lab; cargo clippy --locked --workspace --all-targets -- -D warnings",
    ),
    (
        "clippy has nothing to say on the benchmark",
        "cd bench/core; cargo clippy --release --locked --all-targets -- -D warnings",
    ),
    (
        "the tests that SECURITY.md names exist",
        r#"names=$(grep -o '`[a-z0-9_]*::[a-z0-9_]*`' SECURITY.md)
         for name in $(echo "$names" | tr -d '`'); do
             theme=${name%::*}
             grep -qs "fn ${name#*::}()" tests/*/$theme.rs \
                 $(grep -rl "kunit_tests($theme)" src) ||
                 { echo "there is no test $name"; exit 1; }
         done"#,
    ),
    (
        "all that is released has one version",
        r#"version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
         grep -qx "version = \"$version\"" lab/kit/Cargo.toml
         grep -qE "^## $version(,|$)" CHANGELOG.md"#,
    ),
];

const USER_SPACE: &str = "cargo test --locked";

const LAB: &str = "cd lab; cargo test --locked --workspace --lib --bins";

const PACKAGES: &str = "make --no-print-directory test-packages";

const LAB_GUEST: &str = "cd lab; cargo test --locked --test vm -- --ignored";

/// All agree, and the results can be written. What they are depends on the machine.
const BENCH: &[(&str, &str)] = &[
    (
        "the benchmark runs",
        "cd bench/core; cargo run --locked --release -- --quick --output ../../build/bench/quick",
    ),
    (
        "the benchmark of the command runs",
        "mkdir -p build/bench/quick
         $TOOLS/bench-cli --file 16 --files 100 --rounds 2 --json build/bench/quick/cli.json",
    ),
];

/// What users copy. The lab's root has the shells; Dask comes from PyPI, by the pip of this machine.
const EXAMPLES: &[(&str, &str)] = &[
    (
        "the manual pages are found, and formatted without warnings",
        "$TOOLS/adler32-docs build
         $LAB run --packages man-db sh tests/suites/manuals.sh",
    ),
    (
        "bash, fish and zsh complete",
        "$TOOLS/adler32-docs build
         $LAB run --packages 'fish zsh' bash tests/suites/completions.sh",
    ),
    (
        "GNU parallel sums a file on two hosts",
        "$LAB run --packages parallel \
             env PATH=\"$PWD/tests/fixtures:$PWD/$TOOLS:$PATH\" sh tests/suites/parallel.sh",
    ),
    ("Dask sums a file by two workers", "sh tests/suites/dask.sh"),
];

/// Valgrind refuses loads that are only in part within a block, too. It knows no AVX-512.
const MEMORY: &str = "\
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER='valgrind -q --error-exitcode=99 \
        --partial-loads-ok=no --redzone-size=256'
    cargo test --locked --test implementations -- unwritten";

const FUZZ: &[(&str, &str)] = &[
    (
        "clippy has nothing to say on the fuzz target",
        "cd fuzz; cargo clippy --release --locked -- -D warnings",
    ),
    (
        "the fuzzer finds nothing",
        "make --no-print-directory fuzz FUZZ_SECONDS=10",
    ),
];
