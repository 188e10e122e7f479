// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Shows that the detectors of a debug kernel work: each fault that a module of the tests commits
//! is reported for what it is, and a sound module makes none of them report anything.
//!
//! To be started in the top folder with the lab and the modules built, as the suite `detectors` of
//! the test runner does. Faults that a kernel survives are committed in one; the others, and what
//! is sound, have a kernel of their own.

use std::collections::BTreeMap;
use std::env;
use std::process::Command;
use std::process::ExitCode;
use std::process::Output;
use std::sync::OnceLock;

use libtest_mimic::Arguments;
use libtest_mimic::Failed;
use libtest_mimic::Trial;

/// The folder of the tests' modules.
const MODULES: &str = "build/tests/modules";
/// What the lab returns when the kernel's log has a sign of trouble.
const TROUBLE: i32 = 97;

/// What modprobe is told so that a fault is committed, and what is reported of it and of no other.
struct Fault {
    name: &'static str,
    module: &'static str,
    report: &'static str,
}

const fn fault(name: &'static str, module: &'static str, report: &'static str) -> Fault {
    Fault {
        name,
        module,
        report,
    }
}

/// In the order in which they are committed: no locks are checked after most other reports, and
/// leaks are looked for at the end.
const SURVIVED: &[Fault] = &[
    fault(
        "inversion",
        "adler32_faulty fault=inversion",
        "WARNING: possible circular locking dependency detected",
    ),
    fault(
        "use_after_free",
        "adler32_faulty fault=use_after_free",
        "BUG: KASAN: slab-use-after-free in faulty_use_after_free",
    ),
    fault(
        "out_of_bounds",
        "adler32_faulty fault=out_of_bounds",
        "BUG: KASAN: slab-out-of-bounds in faulty_out_of_bounds",
    ),
    fault(
        "page_after_free",
        "adler32_faulty fault=page_after_free",
        "BUG: KASAN: use-after-free in faulty_page_after_free",
    ),
    fault(
        "vmalloc_out_of_bounds",
        "adler32_faulty fault=vmalloc_out_of_bounds",
        "BUG: KASAN: vmalloc-out-of-bounds in faulty_vmalloc_out_of_bounds",
    ),
    fault(
        "global_out_of_bounds",
        "adler32_faulty fault=global_out_of_bounds",
        "BUG: KASAN: global-out-of-bounds in faulty_global_out_of_bounds",
    ),
    fault(
        "sleep",
        "adler32_faulty fault=sleep",
        "BUG: sleeping function called from invalid context",
    ),
    fault(
        "timer",
        "adler32_faulty fault=timer",
        "ODEBUG: init active (active state 0) object",
    ),
    fault("list", "adler32_faulty fault=list", "list_add double add"),
    fault(
        "shift",
        "adler32_faulty fault=shift",
        "UBSAN: shift-out-of-bounds in",
    ),
    fault(
        "index",
        "adler32_faulty fault=index",
        "UBSAN: array-index-out-of-bounds in",
    ),
    fault(
        "warning",
        "adler32_faulty fault=warning",
        "a warning on purpose",
    ),
    fault(
        "leak",
        "adler32_faulty fault=leak",
        "new suspected memory leaks",
    ),
];

const FATAL: &[Fault] = &[
    fault(
        "exposure",
        "adler32_faulty fault=exposure",
        "usercopy: Kernel memory exposure attempt detected from SLUB object",
    ),
    fault(
        "overflow",
        "adler32_faulty_rust fault=1",
        "attempt to add with overflow",
    ),
    fault(
        "assertion",
        "adler32_faulty_rust fault=2",
        "false on purpose",
    ),
];

/// Only what is older than five seconds counts as leaked. The first look notes what is in memory,
/// and the second reports what has not changed since.
const LOOK_FOR_LEAKS: &str = "
    sleep 6
    echo scan > /sys/kernel/debug/kmemleak
    echo scan > /sys/kernel/debug/kmemleak
    cat /sys/kernel/debug/kmemleak";

/// Through each of the module's backends, and the modules of the faults without a fault.
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

/// What stands before the name of a fault, and that before its log.
const MARK: &str = "==== ";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // A guest keeps a processor busy, and kmemleak wants what it looks at to be quiet.
    arguments.test_threads = Some(1);
    let survived = SURVIVED
        .iter()
        .map(|fault| Trial::test(fault.name, || survived(fault)));
    let fatal = FATAL
        .iter()
        .map(|fault| Trial::test(fault.name, || fatal(fault)));
    let sound = Trial::test("a_sound_module_is_not_reported", not_reported);
    let trials = survived.chain(fatal).chain([sound]).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Runs a script in a guest of its own, with the modules of some folders.
fn boot(folders: &[&str], script: &str) -> Result<Output, Failed> {
    let set = |name| env::var(name).map_err(|error| format!("{name}: {error}"));
    let output = Command::new(set("LAB")?)
        .args(["vm", "--flavour", "uml-debug", "--kernel", &set("KERNEL")?])
        // KASAN is to report more than its first.
        .args(["--append", "kasan_multi_shot"])
        .args(folders.iter().flat_map(|folder| ["--build", folder]))
        .args(["--path", &set("TOOLS")?])
        .args(["--", "sh", "-ec", script])
        .output()?;
    Ok(output)
}

/// Commits faults in a guest, which must be in trouble by that.
fn commit(script: &str) -> Result<Output, Failed> {
    let output = boot(&[MODULES], script)?;
    if output.status.code() != Some(TROUBLE) {
        return Err(format!("the lab does not return {TROUBLE}: {output:?}").into());
    }
    Ok(output)
}

/// Commits all that is survived. Returns what the kernel logs of each fault.
fn commit_survived() -> Result<BTreeMap<String, String>, Failed> {
    let mut script = String::new();
    for Fault { name, module, .. } in SURVIVED {
        let look = if *name == "leak" { LOOK_FOR_LEAKS } else { "" };
        script += &format!(
            "dmesg --clear; modprobe {module}; rmmod adler32_faulty {look}
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

fn survived(fault: &Fault) -> Result<(), Failed> {
    static LOGS: OnceLock<Result<BTreeMap<String, String>, Failed>> = OnceLock::new();
    let logs = LOGS.get_or_init(commit_survived).as_ref();
    let log = logs.map_err(Clone::clone)?.get(fault.name);
    check(fault, log.ok_or("the kernel did not get there")?)
}

fn fatal(fault: &Fault) -> Result<(), Failed> {
    let output = commit(&format!("modprobe {}", fault.module))?;
    check(fault, &String::from_utf8_lossy(&output.stderr))
}

/// Checks that a fault, and no other, is reported in a log.
fn check(fault: &Fault, log: &str) -> Result<(), Failed> {
    let reports: Vec<_> = SURVIVED
        .iter()
        .chain(FATAL)
        .map(|fault| fault.report)
        .filter(|report| log.contains(report))
        .collect();
    if reports != [fault.report] {
        return Err(format!("reported is {reports:?}, with this log:\n{log}").into());
    }
    Ok(())
}

fn not_reported() -> Result<(), Failed> {
    let output = boot(&[".", MODULES], &format!("{SOUND}{LOOK_FOR_LEAKS}"))?;
    if !output.status.success() {
        return Err(format!("{output:?}").into());
    }
    Ok(())
}
