// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What there is to run.

use std::process::Command;
use std::process::Stdio;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;

/// The lab.
pub const LAB: &str = "build/lab/x86_64-unknown-linux-gnu/release/lab";
/// The folder of the programs for the virtual machine.
pub const TOOLS: &str = "build/userspace/x86_64-unknown-linux-gnu/release";

/// Something to run and to count.
pub struct Suite {
    pub name: String,
    pub part: Part,
    /// What command lines find in their environment: `$KERNEL`, `$FLAVOUR` and `$FILTER`.
    pub kernel: String,
    pub flavour: &'static str,
    pub filter: &'static str,
    pub work: Work,
}

/// What a suite is part of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Quick,
    Full,
    Both,
}

pub enum Work {
    /// A command line that prints `test result:` lines.
    Tests(&'static str),
    /// Cases by name, each a command line that succeeds and prints no warning.
    Cases(&'static [(&'static str, &'static str)]),
    /// Cannot be run.
    Skip { reason: String },
}

/// What runs on this machine.
const HOST: [(&str, Part, Work); 7] = [
    ("style", Part::Both, Work::Cases(STYLE)),
    (
        "user-space",
        Part::Both,
        Work::Tests("cd userspace; cargo test --locked"),
    ),
    ("memory", Part::Full, Work::Tests(MEMORY)),
    ("fuzz", Part::Full, Work::Cases(FUZZ)),
    (
        "lab",
        Part::Both,
        Work::Tests("cd lab; cargo test --locked --bins"),
    ),
    ("bench", Part::Full, Work::Cases(BENCH)),
    (
        "lab-guest",
        Part::Full,
        Work::Tests("cd lab; cargo test --locked --test vm -- --ignored"),
    ),
];

const STYLE: &[(&str, &str)] = &[
    (
        "user space is formatted",
        "cd userspace; cargo fmt --all --check",
    ),
    ("the lab is formatted", "cd lab; cargo fmt --check"),
    ("the fuzz target is formatted", "cd fuzz; cargo fmt --check"),
    ("the benchmark is formatted", "cd bench; cargo fmt --check"),
    ("the module is formatted", "rustfmt --check src/lib.rs"),
    (
        "clippy has nothing to say on user space",
        "cd userspace; cargo clippy --locked --all-targets -- -D warnings",
    ),
    (
        "clippy has nothing to say on the lab",
        "cd lab; cargo clippy --locked --all-targets -- -D warnings",
    ),
    (
        "clippy has nothing to say on the benchmark",
        "cd bench; cargo clippy --locked --all-targets -- -D warnings",
    ),
    (
        "the tests that SECURITY.md names exist",
        r#"names=$(grep -o '`[a-z0-9_]*::[a-z0-9_]*`' SECURITY.md)
         for name in $(echo "$names" | tr -d '`'); do
             theme=${name%::*}
             grep -qs "fn ${name#*::}()" tests/vm/$theme.rs tests/inject/$theme.rs \
                 $(grep -rl "kunit_tests($theme)" src) ||
                 { echo "there is no test $name"; exit 1; }
         done"#,
    ),
];

/// All agree, and the results can be written. What they are depends on the machine.
const BENCH: &[(&str, &str)] = &[(
    "the benchmark runs",
    "cd bench; cargo run --locked --release -- --quick --output ../build/bench/quick",
)];

/// Valgrind refuses loads that are only in part within a block, too. It knows no AVX-512.
const MEMORY: &str = "\
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER='valgrind -q --error-exitcode=99 \
        --partial-loads-ok=no --redzone-size=256'
    cd userspace; cargo test --locked --test implementations -- unwritten";

const FUZZ: &[(&str, &str)] = &[
    (
        "clippy has nothing to say on the fuzz target",
        "cd fuzz; cargo clippy --release --locked -- -D warnings",
    ),
    (
        "the fuzzer finds nothing",
        "make --no-print-directory fuzz FUZZ_SECONDS=25",
    ),
];

/// What is built before is removed, so that the compiler has to warn again.
const MODULE: &[(&str, &str)] = &[
    (
        "clippy has nothing to say on the module",
        "rm -rf build/module/$KERNEL.*
         $LAB build --kernel $KERNEL -- CLIPPY=1
         rm -rf build/module/$KERNEL.*",
    ),
    (
        "the module builds without warnings",
        "$LAB build --kernel $KERNEL",
    ),
    (
        "the modules of the tests build without warnings",
        "rm -rf build/tests/modules; mkdir -p build/tests; cp -r tests/modules build/tests
         $LAB build --kernel $KERNEL build/tests/modules",
    ),
];

/// Builds what the suite needs, boots, and runs it.
const VM: &str = "\
    mkdir -p build/tests; cp -ru tests/modules build/tests
    for bits in 32 64; do
        $LAB run -- gcc -m$bits -static -O2 -Wall -Wextra -Werror -Iinclude/uapi \
            -o build/tests/adler32-compat-$bits tests/compat.c
    done
    $LAB vm --flavour $FLAVOUR --kernel $KERNEL --build . --build build/tests/modules \
        --path $TOOLS --path build/tests -- sh -c \"exec vm-suite $FILTER 2>&1\"";

/// The choice of an implementation in a kernel that has been told to leave AVX2 alone.
const NO_AVX2: &str = "\
    $LAB vm --kernel $KERNEL --append clearcpuid=avx2 --build . --path $TOOLS \
        -- sh -c '! grep -qw avx2 /proc/cpuinfo && exec vm-suite implementation_is 2>&1'";

/// The same as [`VM`] in User Mode Linux, where implementations run that QEMU cannot emulate. Left out is
/// what it has not: programs of 32 bits, device-mapper, huge pages, secret memory, memory of devices,
/// what the kernel maps into each program to read, and keys that protect memory. So is memory with
/// holes: its kernel reads `PROT_NONE` all the same, and what a program can map has the limits of a
/// program of the host. And so is what many writes hold at once, and what happens to a file while it is
/// sent: on its one processor, either is over before the other has begun.
const UML: &str = "\
    mkdir -p build/tests; cp -ru tests/modules build/tests
    $LAB vm --flavour $FLAVOUR --kernel $KERNEL --build . --build build/tests/modules --path $TOOLS \
        -- sh -c 'exec vm-suite 2>&1 --skip compat:: --skip kernel_api::mapping_ --skip memory:: \
            --skip huge_ --skip mappings::secret --skip mappings::device_ --skip mappings::kernel_ \
            --skip ::protected_ --skip pinned::many_ --skip transfer::file_that_'";

/// The detectors of the debug kernel report what they are there for.
const DETECTORS: &str = "\
    mkdir -p build/tests; cp -ru tests/modules build/tests
    $TOOLS/detectors";

/// The module's own tests, which the kernel runs when it is loaded. What was to run and did not pass has
/// failed.
const KUNIT: &str = r#"
    $LAB vm --flavour uml --kernel $KERNEL --append 'kunit.enable=1 kunit.autorun=1' --build . \
        -- sh -c 'modprobe adler32 && cat /sys/kernel/debug/kunit/adler32_*/results' |
    awk '{ print }
        /^    1\.\./ { planned += substr($1, 4) }
        /^    ok / { if (/# SKIP/) skipped++; else passed++ }
        END {
            printf "test result: KTAP. %d passed; %d failed; %d ignored\n",
                passed, planned - passed - skipped, skipped
        }'"#;

/// Everything that can fail for want of memory or for a bad address does, one at a time.
const INJECT: &str = "\
    mkdir -p build/tests; cp -ru tests/modules build/tests
    $LAB vm --flavour $FLAVOUR --kernel $KERNEL --build . --build build/tests/modules --path $TOOLS \
        -- sh -c 'exec inject 2>&1'";

/// The kernel and a program agree. How fast they are depends on the machine.
const BENCH_KERNEL: &[(&str, &str)] = &[
    (
        "the benchmark runs in the kernel",
        "mkdir -p build/tests; cp -ru tests/modules build/tests
         $LAB vm --flavour uml --kernel $KERNEL --build . --build build/tests/modules \
             --path $TOOLS -- bench-kernel shash",
    ),
    (
        "the benchmark of the device runs",
        "mkdir -p build/bench/quick
         $LAB vm --flavour uml --kernel $KERNEL --build . --path $TOOLS \
             -- bench-device --file 16 --memory 4 --rounds 3 \
                 --json build/bench/quick/device.json --plot build/bench/quick/device.svg",
    ),
];

/// Short forms of `make soak`.
const SOAK: &[(&str, &str)] = &[
    (
        "random operations are answered as they should be",
        "$LAB vm --flavour uml-debug --kernel $KERNEL --build . --path $TOOLS \
             -- fuzz-doors --operations 4000",
    ),
    (
        "the kernel has all back after loading and unloading",
        "$LAB vm --flavour uml --kernel $KERNEL --build . --path $TOOLS -- endurance --cycles 20",
    ),
    (
        "all at once gives the right answers",
        "$LAB vm --flavour uml-debug --kernel $KERNEL --build . --path $TOOLS \
             -- endurance --cycles 0 --stress 5",
    ),
];

/// Returns all suites in the order in which they run.
pub fn all() -> Result<Vec<Suite>> {
    let mut suites: Vec<_> = HOST
        .into_iter()
        .map(|(name, part, work)| Suite {
            name: name.to_owned(),
            part,
            kernel: String::new(),
            flavour: "",
            filter: "",
            work,
        })
        .collect();
    let series = series()?;
    let newest = series.len() - 1;
    for (number, (kernel, offered)) in series.into_iter().enumerate() {
        let mut push = |name: &str, part, flavour, filter, work| {
            suites.push(Suite {
                name: format!("{name}-{kernel}"),
                part,
                kernel: kernel.clone(),
                flavour,
                filter,
                work: match &offered {
                    Ok(()) => work,
                    Err(reason) => Work::Skip {
                        reason: reason.clone(),
                    },
                },
            });
        };
        push("module", Part::Full, "", "", Work::Cases(MODULE));
        push("vm", Part::Full, "stock", "", Work::Tests(VM));
        if number == newest {
            push("boot", Part::Quick, "stock", "ioctl::", Work::Tests(VM));
            push("no-avx2", Part::Full, "", "", Work::Tests(NO_AVX2));
            push("uml", Part::Full, "uml", "", Work::Tests(UML));
            push("uml-debug", Part::Full, "uml-debug", "", Work::Tests(UML));
            push("debug", Part::Full, "debug", "ioctl::", Work::Tests(VM));
            push("detectors", Part::Full, "", "", Work::Tests(DETECTORS));
            push("inject", Part::Full, "uml-debug", "", Work::Tests(INJECT));
            push("kunit", Part::Full, "", "", Work::Tests(KUNIT));
            push("bench", Part::Full, "", "", Work::Cases(BENCH_KERNEL));
            push("soak", Part::Full, "", "", Work::Cases(SOAK));
        }
    }
    Ok(suites)
}

/// Asks the lab for the supported series of kernels. With each comes the reason why it cannot be
/// had, if so.
fn series() -> Result<Vec<(String, Result<(), String>)>> {
    let output = Command::new(LAB)
        .arg("kernels")
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {LAB}"))?;
    ensure!(output.status.success(), "`lab kernels` failed");
    let text = String::from_utf8(output.stdout).context("what `lab kernels` prints")?;
    let series: Vec<_> = text.lines().filter_map(series_line).collect();
    ensure!(!series.is_empty(), "`lab kernels` names no kernel");
    Ok(series)
}

fn series_line(line: &str) -> Option<(String, Result<(), String>)> {
    let (series, state) = line.split_once("  ")?;
    match state.trim().split_once("newest offered: ") {
        Some(_) => Some((series.to_owned(), Ok(()))),
        None => state
            .contains("not offered")
            .then(|| (series.to_owned(), Err(line.to_owned()))),
    }
}
