// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Tests the detectors of a debug kernel: they must report each fault that a module of the tests
//! commits, by its right name, and must report nothing about a sound module.
//!
//! Runs in the top directory, after the lab and the modules are built, as the suite `detectors`.
//! The faults that a kernel survives are committed in one guest. Each other fault and the sound
//! module get a guest of their own.

use std::collections::BTreeMap;
use std::env;
use std::process::Command;
use std::process::ExitCode;
use std::process::Output;
use std::sync::OnceLock;

use libtest_mimic::Arguments;
use libtest_mimic::Failed;
use libtest_mimic::Trial;

/// The directory of the tests' modules.
const MODULES: &str = "build/tests/modules";
/// The lab's exit status when the kernel log reports trouble.
const TROUBLE: i32 = 97;

/// The faults of `adler32_faulty` that a kernel survives, and the report of each fault alone, in
/// the order in which they are committed. The inversion is first, because the kernel checks no
/// locks after most other reports. The leak is last, because kmemleak then runs.
#[rustfmt::skip]
const SURVIVED: &[(&str, &str)] = &[
    ("inversion", "WARNING: possible circular locking dependency detected"),
    ("use_after_free", "BUG: KASAN: slab-use-after-free in faulty_use_after_free"),
    ("out_of_bounds", "BUG: KASAN: slab-out-of-bounds in faulty_out_of_bounds"),
    ("page_after_free", "BUG: KASAN: use-after-free in faulty_page_after_free"),
    ("vmalloc_out_of_bounds", "BUG: KASAN: vmalloc-out-of-bounds in faulty_vmalloc_out_of_bounds"),
    ("global_out_of_bounds", "BUG: KASAN: global-out-of-bounds in faulty_global_out_of_bounds"),
    ("sleep", "BUG: sleeping function called from invalid context"),
    ("timer", "ODEBUG: init active (active state 0) object"),
    ("list", "list_add double add"),
    ("shift", "UBSAN: shift-out-of-bounds in"),
    ("index", "UBSAN: array-index-out-of-bounds in"),
    ("warning", "a warning on purpose"),
    ("leak", "new suspected memory leaks"),
];

/// The faults that end a kernel: names, arguments of modprobe that commit them, and their reports.
#[rustfmt::skip]
const FATAL: &[(&str, &str, &str)] = &[
    ("exposure", "adler32_faulty fault=exposure",
        "usercopy: Kernel memory exposure attempt detected from SLUB object"),
    ("overflow", "adler32_faulty_rust fault=1", "attempt to add with overflow"),
    ("assertion", "adler32_faulty_rust fault=2", "false on purpose"),
];

/// Only memory that is older than five seconds counts as leaked. The first scan records the memory,
/// and the second scan reports the memory that has not changed since.
const LOOK_FOR_LEAKS: &str = "
    sleep 6
    echo scan > /sys/kernel/debug/kmemleak
    echo scan > /sys/kernel/debug/kmemleak
    cat /sys/kernel/debug/kmemleak";

/// Uses each backend of the module, and loads the faulty modules without a fault.
const SOUND: &str = "
    modprobe adler32_faulty
    modprobe adler32_faulty_rust
    rmmod adler32_faulty adler32_faulty_rust
    modprobe adler32
    sysctl -q crypto.af_alg_restrict=0
    for backend in device ioctl afalg; do adler32 sum --via $backend Makefile; done
    cat Kbuild >> /dev/adler32
    cat /dev/adler32
    rmmod adler32";

/// Begins the line that names a fault. The kernel log after the fault follows that line.
const MARK: &str = "==== ";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // A guest keeps a processor busy, and kmemleak needs a quiet guest.
    arguments.test_threads = Some(1);
    let survived = SURVIVED
        .iter()
        .map(|(name, report)| Trial::test(*name, || survived(name, report)));
    let fatal = FATAL
        .iter()
        .map(|(name, arguments, report)| Trial::test(*name, || fatal(arguments, report)));
    let sound = Trial::test("a_sound_module_is_not_reported", not_reported);
    let trials = survived.chain(fatal).chain([sound]).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Returns the command that runs a script in a new guest with the modules in some directories.
fn guest(directories: &[&str], script: &str) -> Result<Command, Failed> {
    let set = |name| env::var(name).map_err(|error| format!("{name}: {error}"));
    let mut lab = Command::new(set("LAB")?);
    lab.args(["vm", "--flavour", "uml-debug", "--kernel", &set("KERNEL")?])
        .args(["--path", &set("TOOLS")?])
        // By default, KASAN reports only the first fault.
        .args(["--append", "kasan_multi_shot"]);
    for directory in directories {
        lab.args(["--build", directory]);
    }
    lab.args(["--", "sh", "-ec", script]);
    Ok(lab)
}

/// Commits faults in a guest. The lab must report trouble.
fn commit(script: &str) -> Result<Output, Failed> {
    let output = guest(&[MODULES], script)?.output()?;
    if output.status.code() != Some(TROUBLE) {
        return Err(format!("the lab does not return {TROUBLE}: {output:?}").into());
    }
    Ok(output)
}

/// Commits all faults that a kernel survives. Returns the kernel log after each fault.
fn commit_survived() -> Result<BTreeMap<String, String>, Failed> {
    let mut script = String::new();
    for (name, _) in SURVIVED {
        let look = if *name == "leak" { LOOK_FOR_LEAKS } else { "" };
        script += &format!(
            "dmesg --clear; modprobe adler32_faulty fault={name}; rmmod adler32_faulty {look}
            echo '{MARK}{name}'; dmesg\n"
        );
    }
    let output = commit(&script)?;
    let logs = String::from_utf8_lossy(&output.stdout);
    Ok(logs
        .split(MARK)
        .filter_map(|section| section.split_once('\n'))
        .map(|(name, log)| (name.to_owned(), log.to_owned()))
        .collect())
}

fn survived(name: &str, report: &str) -> Result<(), Failed> {
    static LOGS: OnceLock<Result<BTreeMap<String, String>, Failed>> = OnceLock::new();
    let logs = LOGS.get_or_init(commit_survived).as_ref();
    let log = logs.map_err(Clone::clone)?.get(name);
    check(report, log.ok_or("the kernel did not reach this fault")?)
}

fn fatal(arguments: &str, report: &str) -> Result<(), Failed> {
    let output = commit(&format!("modprobe {arguments}"))?;
    check(report, &String::from_utf8_lossy(&output.stderr))
}

/// Checks that a log contains the report of one fault and no other.
fn check(report: &str, log: &str) -> Result<(), Failed> {
    let fatal = FATAL.iter().map(|(_, _, report)| *report);
    let all = SURVIVED.iter().map(|(_, report)| *report).chain(fatal);
    let reports: Vec<_> = all.filter(|report| log.contains(report)).collect();
    if reports != [report] {
        return Err(format!("the reports are {reports:?} in this log:\n{log}").into());
    }
    Ok(())
}

fn not_reported() -> Result<(), Failed> {
    let script = format!("{SOUND}{LOOK_FOR_LEAKS}");
    adler32_tests::output(&mut guest(&[".", MODULES], &script)?)?;
    Ok(())
}
