// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What runs in a kernel.

use super::Environment;
use super::Part;
use super::Stage;
use super::Suite;
use super::Work;

const CHECK: &[Part] = &[Part::Check];
const TEST: &[Part] = &[Part::Test];
const SOAK: &[Part] = &[Part::Soak];

/// The suites of a kernel, of which the newest has more.
pub fn suites(kernel: &str, newest: bool) -> Vec<Suite> {
    let suite = |name: &str, parts, machine, arguments, work| Suite {
        name: format!("{name}-{kernel}"),
        parts,
        stage: Stage::Use,
        environment: Environment {
            kernel: kernel.to_owned(),
            machine,
            check: "true",
            arguments,
        },
        work,
    };
    let mut suites = vec![
        Suite {
            stage: Stage::Build,
            ..suite("module", TEST, "", "", Work::Cases(MODULE))
        },
        suite(
            "vm",
            TEST,
            "",
            if newest { NO_TWINS } else { SHORT },
            Work::Tests(VM),
        ),
    ];
    for setting in SETTINGS {
        let set = |parts, arguments| {
            let mut suite = suite(
                setting.name,
                parts,
                setting.machine,
                arguments,
                Work::Tests(VM),
            );
            suite.environment.check = setting.check;
            suite
        };
        suites.push(set(SOAK, ""));
        if let (true, Some(sample)) = (newest, setting.sample) {
            suites.push(set(TEST, sample));
        }
    }
    if newest {
        const UML_DEBUG: &str = "--flavour uml-debug";
        const DEBUG: &str = "--flavour debug --timeout 3600";
        let cases = |name, parts, arguments, cases: &'static [_]| {
            suite(name, parts, "", arguments, Work::Cases(cases))
        };
        suites.extend([
            suite("boot", CHECK, "", "ioctl::", Work::Tests(VM)),
            suite("learn", TEST, "", "", Work::Tests(LEARN)),
            suite("uml", TEST, "--flavour uml", "", Work::Tests(UML)),
            suite("uml-debug", TEST, UML_DEBUG, SHORT, Work::Tests(UML)),
            suite("uml-debug", SOAK, UML_DEBUG, "", Work::Tests(UML)),
            suite("debug", SOAK, DEBUG, "", Work::Tests(VM)),
            suite("detectors", TEST, "", "", Work::Tests(DETECTORS)),
            suite("inject", TEST, UML_DEBUG, "", Work::Tests(INJECT)),
            suite("kunit", TEST, UML_DEBUG, "", Work::Tests(KUNIT)),
            cases("install", TEST, "", INSTALL),
            cases("bench", TEST, "", BENCH_KERNEL),
            cases("operations", TEST, "--operations 4000", OPERATIONS),
            cases("operations", SOAK, "--operations 1000000", OPERATIONS),
            cases("cycles", TEST, "cycles 40", CYCLES),
            cases("cycles", SOAK, "cycles 1000", CYCLES),
            cases("stress", TEST, "stress 5", STRESS),
            cases("stress", SOAK, "stress 600", STRESS),
        ]);
    }
    suites
}

/// Leaves out what is the same in User Mode Linux, where it is done in a tenth of the time.
const NO_TWINS: &str = "--skip info::module_ --skip info::kernel_ --skip info::node_";

/// Leaves out of the suite what takes longest.
const SHORT: &str = "--skip reload_100_times --skip more_than_two_gibibytes \
    --skip slot_table_is_bounded --skip info::";

/// A machine or a kernel command line other than usual: two processors, lazy preemption, vectors.
struct Setting {
    name: &'static str,
    machine: &'static str,
    /// Whether the kernel is as it was asked to be.
    check: &'static str,
    /// What `make test` runs of the suite, if any. `make soak` runs all.
    sample: Option<&'static str>,
}

/// x86 kernels without any preemption are no more, but User Mode Linux has none.
const SETTINGS: &[Setting] = &[
    Setting {
        name: "preempt-full",
        machine: "--smp 4 --append preempt=full",
        check: "grep -q '(full)' /sys/kernel/debug/sched/preempt && [ $(nproc) = 4 ]",
        sample: Some("sharing::"),
    },
    Setting {
        name: "one-processor",
        machine: "--smp 1 --append preempt=lazy",
        check: "grep -q '(lazy)' /sys/kernel/debug/sched/preempt && [ $(nproc) = 1 ]",
        sample: None,
    },
    Setting {
        name: "no-avx2",
        machine: "--append clearcpuid=avx2",
        check: "! grep -qw avx2 /proc/cpuinfo",
        sample: Some("implementation"),
    },
    Setting {
        name: "portable",
        machine: "--append adler32.implementation=1",
        check: "modprobe adler32 && dmesg | grep -q 'implementation portable'",
        sample: None,
    },
];

/// What is built before is removed, so that the compiler has to warn again.
const MODULE: &[(&str, &str)] = &[
    (
        "clippy has nothing to say on the module",
        "rm -rf build/module/$KERNEL.*+deb*
         $LAB build --kernel $KERNEL -- CLIPPY=1
         rm -rf build/module/$KERNEL.*+deb*",
    ),
    (
        "the module builds without warnings",
        "$LAB build --kernel $KERNEL",
    ),
    (
        "the modules of the tests build without warnings",
        "rm -rf build/tests/modules/build/module/$KERNEL.*+deb*
         $LAB build --kernel $KERNEL build/tests/modules",
    ),
];

/// Builds what the suite needs, boots, and runs it. Others may be building the same.
const VM: &str = "\
    for bits in 32 64; do
        program=build/tests/adler32-compat-$bits
        $LAB run -- gcc -m$bits -static -O2 -Wall -Wextra -Werror -Iinclude/uapi \
            -o $program.$$ tests/fixtures/compat.c
        mv $program.$$ $program
    done
    for example in session digest; do
        program=build/tests/example-$example
        $LAB run -- gcc -O2 -Wall -Wextra -Werror -Iinclude/uapi \
            -o $program.$$ examples/c/$example.c
        mv $program.$$ $program
    done
    $LAB vm $MACHINE --kernel $KERNEL --build . --build build/tests/modules \
        --path $TOOLS --path build/tests -- sh -c \"$CHECK && exec test-vm $ARGUMENTS 2>&1\"";

/// The same as [`VM`] in User Mode Linux, where implementations run that QEMU cannot emulate. Left out is
/// what it has not: programs of 32 bits, device-mapper, huge pages, secret memory, memory of devices,
/// what the kernel maps into each program to read, and keys that protect memory. So is memory with
/// holes: its kernel reads `PROT_NONE` all the same, and what a program can map has the limits of a
/// program of the host. And so is what many writes hold at once, and what happens to a file while it is
/// sent: on its one processor, either is over before the other has begun.
const UML: &str = "\
    $LAB vm $MACHINE --kernel $KERNEL --build . --build build/tests/modules --path $TOOLS \
        -- sh -c \"exec test-vm 2>&1 --skip compat:: --skip kernel_api::mapping_ --skip memory:: \
            --skip huge_ --skip mappings::secret --skip mappings::device_ --skip mappings::kernel_ \
            --skip ::protected_ --skip pinned::many_ --skip transfer::file_that_ $ARGUMENTS\"";

/// The detectors of the debug kernel report what they are there for.
const DETECTORS: &str = "$TOOLS/test-detectors";

/// The module's own tests, which the kernel runs when it is loaded. What was to run and did not pass has
/// failed, and so has all if the kernel is in trouble.
const KUNIT: &str = r#"
    results=$($LAB vm $MACHINE --kernel $KERNEL --append 'kunit.enable=1 kunit.autorun=1' \
        --build . \
        -- sh -c 'modprobe adler32 && cat /sys/kernel/debug/kunit/adler32_*/results')
    echo "$results" | awk '{ print }
        /^    1\.\./ { planned += substr($1, 4) }
        /^    ok / { if (/# SKIP/) skipped++; else passed++ }
        END {
            printf "test result: KTAP. %d passed; %d failed; %d ignored\n",
                passed, planned - passed - skipped, skipped
        }'"#;

/// The commands of a page print what it says, those for one guest and those for the host.
const LEARN: &str = "\
    $LAB vm --kernel $KERNEL --append adler32.implementation=1 --build . \
        --build build/tests/modules/learn --path $TOOLS -- test-learn docs/learn.md '#'
    PATH=${LAB%/*}:$PATH $TOOLS/test-learn docs/learn.md '$'";

/// Everything that can fail for want of memory or for a bad address does, one at a time.
const INJECT: &str = "\
    $LAB vm $MACHINE --kernel $KERNEL --build . --build build/tests/modules --path $TOOLS \
        -- sh -c 'exec test-inject 2>&1'";

/// All that is made for users is installed, and removed again.
const INSTALL: &[(&str, &str)] = &[(
    "what is installed can be removed",
    "$TOOLS/adler32-docs build
     release=$(cd build/module && ls -td $KERNEL*-amd64 | head -n 1)
     tree=$PWD/build/install
     rm -rf $tree
     mkdir $tree
     arguments=\"DESTDIR=$tree prefix=/usr KDIR=$($LAB run ${LAB%/*}/rust-kernel-kit $release)\"
     $LAB run make --no-print-directory $arguments install
     find $tree -type f -exec sha256sum {} + > build/installed
     for file in build/man/man*/* build/completions/* docs/man/adler32.4 udev/* packaging/modules-load.d/* include/uapi/linux/*; do
         sum=$(sha256sum < $file)
         grep -q ^${sum%% *} build/installed || { echo $file is not installed; exit 1; }
     done
     $tree/usr/bin/adler32sum Kbuild
     test -f $tree/lib/modules/$release/updates/adler32.ko.xz
     $LAB run make --no-print-directory $arguments uninstall
     find $tree -mindepth 1 | tee build/left
     test ! -s build/left",
)];

/// The kernel and a program agree. How fast they are depends on the machine.
const BENCH_KERNEL: &[(&str, &str)] = &[
    (
        "the benchmark runs in the kernel",
        "$LAB vm --flavour uml --kernel $KERNEL --build . --build build/tests/modules \
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

const OPERATIONS: &[(&str, &str)] = &[(
    "random operations are answered as they should be",
    "$LAB vm --flavour uml-debug --timeout 7200 --kernel $KERNEL --build . --path $TOOLS \
         -- test-operations $ARGUMENTS",
)];

const CYCLES: &[(&str, &str)] = &[(
    "the kernel has all back after loading and unloading",
    "$LAB vm --flavour uml --timeout 3600 --kernel $KERNEL --build . --path $TOOLS \
         -- test-endurance $ARGUMENTS",
)];

const STRESS: &[(&str, &str)] = &[(
    "all at once gives the right answers",
    "$LAB vm --flavour uml-debug --timeout 3600 --kernel $KERNEL --build . --path $TOOLS \
         -- test-endurance $ARGUMENTS",
)];
