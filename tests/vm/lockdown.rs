// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Kernels that load only signed modules, or none. These tests are last: what they set cannot be
//! undone.

use std::fs;
use std::io::Write;
use std::path::Path;

use libtest_mimic::Completion;

use crate::info;
use crate::info::Report;
use crate::tools;
use adler32_tests::module;
use adler32_tests::sh;
use adler32_tests::trials;

trials!(after tools::install:
    unsigned_under_lockdown,
    unsigned_where_signatures_are_enforced,
    modules_disabled,
);

/// Checks that the kernel refuses the module, which is not signed, and that the command reports
/// why.
#[track_caller]
fn assert_refused(by: &str) {
    assert!(module::load(module::NAME, "").is_err(), "the module loads");
    let report = Report::now();
    report.assert("module", "not signed", &format!("{by} allows only signed"));
    let sign = "as root: $S sha256 KEY CERT $(modinfo -n adler32)";
    assert!(report.steps("module").contains(&sign), "{report:?}");
    info::among_own_mounts(|| {
        info::hide_installed(module::NAME);
        let report = Report::now();
        report.assert("module", "not installed", "");
        let sign = "as root: $S sha256 KEY CERT build/module/$(uname -r)/adler32.ko";
        assert!(report.steps("module").contains(&sign), "{report:?}");
    });
}

fn unsigned_under_lockdown() -> Completion {
    const LOCKDOWN: &str = "/sys/kernel/security/lockdown";
    if !Path::new("/sys/kernel/security").exists() {
        return Completion::ignored_with("this kernel has no lockdown");
    }
    sh("mount -t securityfs securityfs /sys/kernel/security");
    Report::now().assert("module", "not loaded", "");
    fs::write(LOCKDOWN, "integrity").expect(LOCKDOWN);
    assert_refused("lockdown");
    // The command regards a module as signed if its file ends like a signed one.
    let path = module::modinfo("filename").concat();
    let mut file = fs::File::options().append(true).open(path).expect("append");
    file.write_all(b"~Module signature appended~\n")
        .expect("append");
    Report::now().assert("module", "not loaded", "");
    let len = file.metadata().expect("the length").len();
    file.set_len(len - 28).expect("truncate");
    Completion::Completed
}

fn unsigned_where_signatures_are_enforced() -> Completion {
    const ENFORCE: &str = "/sys/module/module/parameters/sig_enforce";
    if !Path::new(ENFORCE).exists() {
        return Completion::ignored_with("this kernel has no module.sig_enforce");
    }
    fs::write(ENFORCE, "1").expect(ENFORCE);
    assert_refused("module.sig_enforce");
    Completion::Completed
}

fn modules_disabled() {
    sh("sysctl kernel.modules_disabled=1");
    assert!(module::load(module::NAME, "").is_err(), "the module loads");
    let report = Report::now();
    report.assert("module", "disabled", "kernel.modules_disabled is 1");
    assert!(
        report.steps("module")[0].starts_with("reboot"),
        "{report:?}"
    );
}
