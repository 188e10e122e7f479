// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Shows that the detectors of a debug kernel work: each fault that a module of the tests commits is
//! reported for what it is, and a sound module makes none of them report anything.
//!
//! To be started in the top folder with the lab and the modules built, as the suite `detectors` of
//! the test runner does. Each case boots a kernel of its own, for most faults end it, or end what
//! detects them.

use std::env;
use std::process::Command;
use std::process::ExitCode;
use std::process::Output;

use libtest_mimic::Arguments;
use libtest_mimic::Failed;
use libtest_mimic::Trial;

/// The folder of the tests' modules.
const MODULES: &str = "build/tests/modules";
/// What the lab returns when the kernel's log has a sign of trouble.
const TROUBLE: i32 = 97;

/// What commits a fault, and what is reported of it and of no other.
struct Fault {
    name: &'static str,
    commit: &'static str,
    report: &'static str,
}

const fn fault(name: &'static str, commit: &'static str, report: &'static str) -> Fault {
    Fault {
        name,
        commit,
        report,
    }
}

const FAULTS: &[Fault] = &[
    fault(
        "use_after_free",
        "modprobe adler32_faulty fault=use_after_free",
        "BUG: KASAN: slab-use-after-free in faulty_use_after_free",
    ),
    fault(
        "out_of_bounds",
        "modprobe adler32_faulty fault=out_of_bounds",
        "BUG: KASAN: slab-out-of-bounds in faulty_out_of_bounds",
    ),
    fault(
        "page_after_free",
        "modprobe adler32_faulty fault=page_after_free",
        "BUG: KASAN: use-after-free in faulty_page_after_free",
    ),
    fault(
        "vmalloc_out_of_bounds",
        "modprobe adler32_faulty fault=vmalloc_out_of_bounds",
        "BUG: KASAN: vmalloc-out-of-bounds in faulty_vmalloc_out_of_bounds",
    ),
    fault(
        "global_out_of_bounds",
        "modprobe adler32_faulty fault=global_out_of_bounds",
        "BUG: KASAN: global-out-of-bounds in faulty_global_out_of_bounds",
    ),
    fault(
        "exposure",
        "modprobe adler32_faulty fault=exposure",
        "usercopy: Kernel memory exposure attempt detected from SLUB object",
    ),
    fault(
        "inversion",
        "modprobe adler32_faulty fault=inversion",
        "WARNING: possible circular locking dependency detected",
    ),
    fault(
        "sleep",
        "modprobe adler32_faulty fault=sleep",
        "BUG: sleeping function called from invalid context",
    ),
    fault(
        "timer",
        "modprobe adler32_faulty fault=timer",
        "ODEBUG: init active (active state 0) object",
    ),
    fault(
        "list",
        "modprobe adler32_faulty fault=list",
        "list_add double add",
    ),
    fault(
        "shift",
        "modprobe adler32_faulty fault=shift",
        "UBSAN: shift-out-of-bounds in",
    ),
    fault(
        "index",
        "modprobe adler32_faulty fault=index",
        "UBSAN: array-index-out-of-bounds in",
    ),
    fault(
        "warning",
        "modprobe adler32_faulty fault=warning",
        "a warning on purpose",
    ),
    fault(
        "overflow",
        "modprobe adler32_faulty_rust fault=1",
        "attempt to add with overflow",
    ),
    fault(
        "assertion",
        "modprobe adler32_faulty_rust fault=2",
        "false on purpose",
    ),
    fault("leak", LEAK, "new suspected memory leaks"),
];

/// Only what is older than five seconds counts as leaked. The first look notes what is in memory, and
/// the second reports what has not changed since.
macro_rules! and_look_for_leaks {
    ($use:literal) => {
        concat!(
            $use,
            "\nsleep 6
            echo scan > /sys/kernel/debug/kmemleak
            echo scan > /sys/kernel/debug/kmemleak
            cat /sys/kernel/debug/kmemleak"
        )
    };
}

const LEAK: &str = and_look_for_leaks!("modprobe adler32_faulty fault=leak");

/// Through each of the module's doors, and the modules of the faults without a fault.
const SOUND: &str = and_look_for_leaks!(
    "modprobe adler32_faulty
    modprobe adler32_faulty_rust
    rmmod adler32_faulty adler32_faulty_rust
    modprobe adler32
    sysctl -q crypto.af_alg_restrict=0
    for door in device ioctl afalg; do adler32 sum --via $door Makefile; done
    cat Kbuild >> /dev/adler32
    cat /dev/adler32
    adler32 sum --via afalg Kbuild
    rmmod adler32"
);

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // A guest keeps a processor busy, and kmemleak wants what it looks at to be quiet.
    arguments.test_threads = Some(1);
    let mut trials: Vec<_> = FAULTS
        .iter()
        .map(|fault| Trial::test(fault.name, || reported(fault)))
        .collect();
    trials.push(Trial::test("a_sound_module_is_not_reported", not_reported));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Runs a script in a guest of its own, with the modules of some folders.
fn boot(folders: &[&str], script: &str) -> Result<Output, Failed> {
    let set = |name| env::var(name).map_err(|error| format!("{name}: {error}"));
    let output = Command::new(set("LAB")?)
        .args(["vm", "--flavour", "uml-debug", "--kernel", &set("KERNEL")?])
        .args(folders.iter().flat_map(|folder| ["--build", folder]))
        .args(["--path", &set("TOOLS")?])
        .args(["--", "sh", "-ec", script])
        .output()?;
    Ok(output)
}

fn reported(fault: &Fault) -> Result<(), Failed> {
    let output = boot(&[MODULES], fault.commit)?;
    let log = String::from_utf8_lossy(&output.stderr);
    if output.status.code() != Some(TROUBLE) {
        return Err(format!("the lab returns {}, with this log:\n{log}", output.status).into());
    }
    let reports: Vec<_> = FAULTS
        .iter()
        .map(|fault| fault.report)
        .filter(|report| log.contains(report))
        .collect();
    if reports != [fault.report] {
        return Err(format!("reported is {reports:?}, with this log:\n{log}").into());
    }
    Ok(())
}

fn not_reported() -> Result<(), Failed> {
    let output = boot(&[".", MODULES], SOUND)?;
    if !output.status.success() {
        return Err(format!("{output:?}").into());
    }
    Ok(())
}
