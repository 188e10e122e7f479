// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 info` in every state of the module, the device and AF_ALG that it distinguishes, and
//! the commands that it prints, which must fix the state.

use std::fs;
use std::path::Path;

use libtest_mimic::Completion;
use nix::errno::Errno;
use nix::sched;
use nix::sched::CloneFlags;
use serde_json::Value;

use crate::tools;
use crate::tools::COMMAND;
use adler32_tests::alg;
use adler32_tests::alg::Hash;
use adler32_tests::alg::Restricted;
use adler32_tests::module;
use adler32_tests::module::Loaded;
use adler32_tests::process::fork;
use adler32_tests::process::fresh_user;
use adler32_tests::process::in_thread;
use adler32_tests::seccomp;
use adler32_tests::seccomp::Refused;
use adler32_tests::sh;
use adler32_tests::trials;
use adler32_tests::try_sh;
use adler32_tests::try_sh_as;
use adler32_tests::ErrnoOf;

trials!(after tools::install:
    all_is_well,
    module_not_loaded,
    module_blacklisted,
    module_disabled,
    module_forbidden_at_boot,
    module_not_installed,
    kernel_too_old,
    kernel_without_rust,
    node_missing,
    node_of_something_else,
    node_forbidden,
    node_for_a_group,
    node_on_a_mount_without_devices,
    af_alg_restricted,
    af_alg_not_loaded,
    af_alg_blacklisted,
    af_alg_disabled,
    hashes_disabled,
    af_alg_not_installed,
    af_alg_not_configured,
    af_alg_filtered,
    af_alg_refused_by_policy,
    what_only_root_sees,
);

/// A file for modprobe, which does not exist otherwise.
const CONFIG: &str = "/etc/modprobe.d/adler32-test.conf";

/// The most columns of a step in a terminal with 80 columns, after a label.
const STEP_MAX: usize = 66;

/// What `adler32 info` finds.
#[derive(Debug)]
pub struct Report {
    /// Whether the device or AF_ALG works.
    works: bool,
    findings: Vec<Value>,
}

impl Report {
    /// Runs the command as root.
    #[track_caller]
    pub fn now() -> Self {
        Self::of(try_sh(&format!("{COMMAND} info --json")))
    }

    /// Runs the command as another user.
    #[track_caller]
    fn of_user() -> Self {
        let line = format!("{COMMAND} info --json");
        Self::of(try_sh_as(fresh_user(), &line))
    }

    #[track_caller]
    fn of((works, output): (bool, String)) -> Self {
        let findings = output.lines().map(serde_json::from_str);
        let findings = findings.collect::<Result<Vec<Value>, _>>();
        let findings = findings.unwrap_or_else(|error| panic!("{error}: {output}"));
        let fixes = findings
            .iter()
            .filter_map(|finding| finding["fix"].as_str());
        for step in fixes.flat_map(|fix| fix.split("; ")) {
            assert!(step.len() <= STEP_MAX, "wider than a terminal: {step}");
        }
        Self { works, findings }
    }

    #[track_caller]
    fn get(&self, label: &str, key: &str) -> &str {
        let finding = self
            .findings
            .iter()
            .find(|finding| finding["label"] == label);
        let finding = finding.unwrap_or_else(|| panic!("no {label} in {self:#?}"));
        finding[key].as_str().unwrap_or_default()
    }

    /// Checks the state in the finding with this label, and the words in its detail.
    #[track_caller]
    pub fn assert(&self, label: &str, state: &str, words: &str) {
        assert_eq!(self.get(label, "state"), state, "{self:#?}");
        let detail = self.get(label, "detail");
        assert!(detail.contains(words), "{words} is not in {self:#?}");
    }

    /// Returns the steps that fix the finding with this label.
    #[track_caller]
    pub fn steps(&self, label: &str) -> Vec<&str> {
        self.get(label, "fix").split("; ").collect()
    }

    /// Runs the commands among the steps that are for root.
    #[track_caller]
    fn fix(&self, label: &str) {
        let steps = self.steps(label);
        let commands = steps.iter().filter_map(|step| step.split_once("as root: "));
        let commands: Vec<_> = commands.map(|(_, command)| command).collect();
        assert!(!commands.is_empty(), "no commands for root: {self:#?}");
        for command in commands {
            sh(command);
        }
    }
}

/// The file [`CONFIG`], which exists until this is dropped.
struct Config;

impl Config {
    fn new(lines: &str) -> Self {
        fs::write(CONFIG, lines).expect(CONFIG);
        Self
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        let _ = fs::remove_file(CONFIG);
    }
}

/// Runs `work` in a process with its own mounts.
#[track_caller]
pub fn among_own_mounts(work: impl FnOnce()) {
    fork(|_| {
        sched::unshare(CloneFlags::CLONE_NEWNS).expect("unshare");
        sh("mount --make-rprivate /");
        work();
    })
    .join();
}

/// Mounts a file that contains this text over another file.
fn replace(path: &str, text: &str) {
    fs::write("/tmp/replacement", text).expect("/tmp/replacement");
    sh(&format!("mount --bind /tmp/replacement {path}"));
}

fn release() -> String {
    sh("uname -r").trim().to_owned()
}

/// Removes a module from the list of modprobe.
pub fn hide_installed(name: &str) {
    let path = format!("/lib/modules/{}/modules.dep", release());
    let list = fs::read_to_string(&path).expect("modules.dep");
    let entry = format!("/{name}.ko");
    let kept = list.lines().filter(|line| !line.contains(&entry));
    replace(
        &path,
        &kept.map(|line| format!("{line}\n")).collect::<String>(),
    );
}

/// Uses the hash, which loads the module and AF_ALG.
fn bind() {
    Hash::adler32().accept();
}

fn all_is_well() {
    module::ensure_loaded();
    bind();
    for report in [Report::now(), Report::of_user()] {
        let version = module::modinfo("version").concat();
        report.assert("module", "loaded", &format!("version {version}"));
        report.assert("device", "works", &module::default_implementation());
        report.assert("device", "works", "mode 0666, owner root:root");
        report.assert("AF_ALG", "open", "");
        report.assert("/proc/crypto", "entry", "adler32-rust, priority 90");
        report.assert("adler32 sum", "works", "by the processor");
        let fixes = report.findings.iter().map(|finding| &finding["fix"]);
        assert!(fixes.into_iter().all(Value::is_null), "{report:#?}");
        assert!(report.works);
    }
    assert_eq!(module::refcount(), Some(0));
}

fn module_not_loaded() {
    alg::restriction();
    let report = Report::now();
    report.assert("module", "not loaded", "");
    report.assert("device", "no such device", "module adler32 is not loaded");
    report.assert("AF_ALG", "no such hash", "module adler32 is not loaded");
    report.assert("/proc/crypto", "no entry", "");
    assert!(!report.works);
    // The command is the same for all findings, and is printed once.
    let text = try_sh(&format!("{COMMAND} info")).1;
    assert_eq!(text.matches("as root: modprobe adler32\n").count(), 1);
    assert!(!module::is_loaded(), "adler32 info loaded the module");
    report.fix("module");
    let report = Report::now();
    report.assert("device", "works", "");
    assert!(report.works);
}

fn module_blacklisted() {
    let _config = Config::new("# why\nblacklist adler32\n");
    assert_eq!(Hash::bind(module::NAME).errno(), Errno::ENOENT);
    let report = Report::now();
    report.assert("module", "blacklisted", &format!("line 2 of {CONFIG}"));
    report.fix("module");
    assert!(module::is_loaded());
    module::unload();
    Report::now().assert("module", "not loaded", "");
    bind();
}

fn module_disabled() {
    let _config = Config::new("# why\ninstall adler32 /bin/false\n# more\n");
    let (loaded, _) = try_sh("modprobe adler32");
    assert!(!loaded);
    let report = Report::now();
    report.assert("module", "disabled", &format!("line 2 of {CONFIG}"));
    report.fix("module");
    assert!(module::is_loaded());
    assert_eq!(fs::read_to_string(CONFIG).expect(CONFIG), "# why\n# more\n");
}

fn module_forbidden_at_boot() {
    for (parameter, state) in [
        ("module_blacklist=", "disabled"),
        ("modprobe.blacklist=", "blacklisted"),
    ] {
        among_own_mounts(|| {
            replace("/proc/cmdline", &format!("quiet {parameter}adler32\n"));
            let words = format!("{parameter} on the kernel's command line");
            let report = Report::now();
            report.assert("module", state, &words);
            let fix = format!("boot without adler32 in {parameter}");
            assert!(report.get("module", "fix").contains(&fix), "{report:#?}");
        });
    }
}

fn module_not_installed() {
    among_own_mounts(|| {
        hide_installed(module::NAME);
        let report = Report::now();
        report.assert("module", "not installed", &release());
        assert_eq!(
            report.steps("module")[0],
            "in the source directory: make module"
        );
        report.fix("module");
        Report::now().assert("module", "loaded", "");
    });
    among_own_mounts(|| {
        module::ensure_unloaded();
        sh("mount -t tmpfs tmpfs /lib/modules");
        Report::now().assert(
            "module",
            "not installed",
            "in a container, load it on the host",
        );
    });
}

fn kernel_too_old() {
    among_own_mounts(|| {
        replace("/proc/sys/kernel/osrelease", "7.1.12-amd64\n");
        let report = Report::now();
        report.assert("module", "not supported", "7.1.12-amd64 is older than 7.2");
    });
}

fn kernel_without_rust() {
    among_own_mounts(|| {
        hide_installed(module::NAME);
        sh("mount -t tmpfs tmpfs /boot");
        let path = format!("/boot/config-{}", release());
        for (line, state) in [
            ("# CONFIG_RUST is not set\n", "not supported"),
            ("CONFIG_RUST=y\n", "not installed"),
        ] {
            fs::write(&path, line).expect("/boot");
            Report::now().assert("module", state, "");
        }
    });
}

/// Replaces /dev by a directory without the device.
fn empty_dev() {
    sh("mount -t tmpfs tmpfs /dev && mknod -m 0666 /dev/null c 1 3");
}

fn node_missing() {
    module::ensure_loaded();
    among_own_mounts(|| {
        empty_dev();
        let report = Report::now();
        report.assert("device", "no such device", "module adler32 is loaded");
        report.fix("device");
        let report = Report::of_user();
        report.assert("device", "works", "");
        assert!(report.works);
    });
}

fn node_of_something_else() {
    module::ensure_loaded();
    among_own_mounts(|| {
        empty_dev();
        for make in [
            "touch",
            "mkdir",
            "cp -a /dev/null",
            // One of the numbers belongs to tunnels, and the other to no device.
            "mknod -m 0666 /dev/tunnel c 10 200; mv /dev/tunnel",
            "mknod -m 0666 /dev/stale c 10 254; mv /dev/stale",
        ] {
            sh(&format!("{make} /dev/adler32"));
            let report = Report::now();
            report.assert("device", "wrong device", "");
            report.fix("device");
            Report::now().assert("device", "works", "");
            sh("rm /dev/adler32");
        }
    });
}

fn node_forbidden() {
    let _loaded = Loaded::new(module::NAME, "mode=0600");
    // udev must not set the mode after the fix.
    sh("udevadm settle");
    let report = Report::of_user();
    report.assert("device", "permission denied", "mode is 0600");
    report.fix("device");
    Report::of_user().assert("device", "works", "mode 0666");
}

fn node_for_a_group() -> Completion {
    if !try_sh("command -v useradd").0 {
        return Completion::ignored_with("useradd is not installed");
    }
    let _loaded = Loaded::new(module::NAME, "mode=0660");
    let uid = fresh_user();
    sh(&format!(
        "chgrp users /dev/adler32; useradd -u {uid} tester"
    ));
    let look = || {
        let user = "setpriv --reuid=tester --regid=tester --init-groups";
        Report::of(try_sh(&format!("{user} {COMMAND} info --json")))
    };
    let report = look();
    report.assert("device", "permission denied", "owner root:users");
    report.fix("device");
    assert_eq!(report.steps("device")[1], "log in again");
    look().assert("device", "works", "");
    sh("userdel tester");
    Completion::Completed
}

fn node_on_a_mount_without_devices() {
    module::ensure_loaded();
    let minor = module::misc_minor().expect("an entry in /proc/misc");
    among_own_mounts(|| {
        sh("mount -t tmpfs -o nodev tmpfs /mnt");
        sh(&format!("mknod -m 0666 /mnt/adler32 c 10 {minor}"));
        sh("mount --bind /mnt/adler32 /dev/adler32");
        Report::now().assert("device", "not permitted", "a mount");
    });
}

fn af_alg_restricted() -> Completion {
    for level in [1, 2] {
        let Some(_restricted) = Restricted::to(level) else {
            return Completion::ignored_with("this kernel has no crypto.af_alg_restrict");
        };
        module::ensure_loaded();
        let report = Report::now();
        report.assert("AF_ALG", "restricted", &format!("level {level}"));
        report.fix("AF_ALG");
        bind();
        Report::now().assert("AF_ALG", "open", "");
    }
    Completion::Completed
}

/// A system in which AF_ALG is not loaded until this is dropped.
struct NoAfAlg {
    restriction: Option<u32>,
}

impl Drop for NoAfAlg {
    fn drop(&mut self) {
        let _ = try_sh("modprobe algif_hash");
        if let Some(level) = self.restriction {
            let _ = fs::write("/proc/sys/crypto/af_alg_restrict", level.to_string());
        }
    }
}

fn is_af_alg_loaded() -> bool {
    Path::new("/sys/module/af_alg").exists()
}

/// Unloads AF_ALG, runs `work`, and loads AF_ALG again.
fn without_af_alg(work: impl FnOnce()) -> Completion {
    let restriction = alg::restriction();
    if !is_af_alg_loaded() {
        return Completion::ignored_with("AF_ALG is built into this kernel");
    }
    module::ensure_loaded();
    sh("modprobe -r algif_hash af_alg");
    assert!(!is_af_alg_loaded());
    let _none = NoAfAlg { restriction };
    work();
    Completion::Completed
}

fn af_alg_not_loaded() -> Completion {
    without_af_alg(|| {
        let report = Report::now();
        report.assert("AF_ALG", "not loaded", "loads module algif_hash");
        assert!(report.works, "the device works");
        assert!(!is_af_alg_loaded(), "adler32 info loaded AF_ALG");
        report.fix("AF_ALG");
        assert!(is_af_alg_loaded());
    })
}

fn af_alg_blacklisted() -> Completion {
    without_af_alg(|| {
        let _config = Config::new("blacklist af_alg\n");
        assert_eq!(Hash::bind(module::NAME).errno(), Errno::EAFNOSUPPORT);
        let report = Report::now();
        report.assert("AF_ALG", "absent", "module af_alg is blacklisted: line 1");
        report.fix("AF_ALG");
        assert!(is_af_alg_loaded());
    })
}

fn af_alg_disabled() -> Completion {
    without_af_alg(|| {
        let _config = Config::new("install af-alg /bin/false\n");
        assert_eq!(Hash::bind(module::NAME).errno(), Errno::EAFNOSUPPORT);
        let error = try_sh(&format!("{COMMAND} sum --via afalg /dev/null")).1;
        let report = Report::now();
        report.assert("AF_ALG", "absent", "module af_alg is disabled: line 1");
        // adler32 sum prints the same reason.
        assert!(error.contains(report.get("AF_ALG", "detail")), "{error}");
        report.fix("AF_ALG");
        assert!(is_af_alg_loaded());
    })
}

fn hashes_disabled() -> Completion {
    without_af_alg(|| {
        let _config = Config::new("install algif_hash /bin/false\n");
        assert_eq!(Hash::bind(module::NAME).errno(), Errno::ENOENT);
        // Loading AF_ALG has set the sysctl to its default.
        let _unrestricted = Restricted::to(0);
        let report = Report::now();
        let words = "module algif_hash is disabled: line 1";
        report.assert("AF_ALG", "absent", words);
        report.fix("AF_ALG");
        bind();
    })
}

fn af_alg_not_installed() -> Completion {
    without_af_alg(|| {
        among_own_mounts(|| {
            hide_installed("af_alg");
            let report = Report::now();
            report.assert("AF_ALG", "absent", "module af_alg is not installed");
            let fix = "boot a kernel with CONFIG_CRYPTO_USER_API_HASH";
            assert_eq!(report.steps("AF_ALG"), [fix]);
        });
    })
}

fn af_alg_not_configured() -> Completion {
    without_af_alg(|| {
        among_own_mounts(|| {
            hide_installed("af_alg");
            hide_installed("algif_hash");
            sh("mount -t tmpfs tmpfs /boot");
            let path = format!("/boot/config-{}", release());
            let lines = "CONFIG_RUST=y\n# CONFIG_CRYPTO_USER_API_HASH is not set\n";
            fs::write(&path, lines).expect("/boot");
            let report = Report::now();
            let words = "is built without CONFIG_CRYPTO_USER_API_HASH";
            report.assert("AF_ALG", "absent", words);
            let fix = "boot a kernel with CONFIG_CRYPTO_USER_API_HASH";
            assert_eq!(report.steps("AF_ALG"), [fix]);
        });
    })
}

fn af_alg_filtered() -> Completion {
    if !seccomp::is_supported() {
        return Completion::ignored_with("this kernel has no seccomp filters");
    }
    module::ensure_loaded();
    for errno in [Errno::EPERM, Errno::EAFNOSUPPORT] {
        let filtered = |arguments: &str| {
            in_thread(|| {
                seccomp::refuse(&[Refused {
                    call: libc::SYS_socket,
                    argument: Some(libc::AF_ALG as u32),
                    errno,
                }]);
                try_sh(&format!("{COMMAND} {arguments}"))
            })
        };
        let report = Report::of(filtered("info --json"));
        report.assert("AF_ALG", "blocked by seccomp", "");
        assert!(report.steps("AF_ALG").concat().contains("seccomp="));
        assert!(report.works, "the device works");
        let (_, error) = filtered("sum --via afalg /dev/null");
        assert!(error.contains("AF_ALG: blocked by seccomp"), "{error}");
    }
    Completion::Completed
}

/// Returns the output of `adler32 info` after the kernel refused a call for AF_ALG, and after the
/// shell commands in `prepare`.
fn refused(call: i64, argument: Option<u32>, errno: Errno, prepare: &str) -> Report {
    let refused = Refused {
        call,
        argument,
        errno,
    };
    Report::of(in_thread(|| {
        seccomp::refuse(&[refused]);
        try_sh(&format!("{prepare} exec {COMMAND} info --json"))
    }))
}

fn af_alg_refused_by_policy() -> Completion {
    if !seccomp::is_supported() {
        return Completion::ignored_with("this kernel has no seccomp filters");
    }
    module::ensure_loaded();
    bind();
    // A security module refuses with this error, and later than a filter.
    let policy = |prepare: &str| refused(libc::SYS_bind, None, Errno::EACCES, prepare);
    policy("").assert("AF_ALG", "blocked", "by ");
    among_own_mounts(|| {
        fs::write("/tmp/replacement", "/usr/bin/adler32 (enforce)\n").expect("/tmp");
        let path = "/proc/$$/attr/apparmor/current";
        let report = policy(&format!(
            "test ! -e {path} || mount --bind /tmp/replacement {path};"
        ));
        if Path::new("/proc/self/attr/apparmor/current").exists() {
            report.assert(
                "AF_ALG",
                "blocked",
                "by AppArmor's profile /usr/bin/adler32",
            );
            assert!(report.steps("AF_ALG")[0].ends_with("network alg,"));
        }
        fs::write("/tmp/replacement", "user_u:user_r:user_t:s0\0").expect("/tmp");
        sh("mount -t tmpfs tmpfs /sys/fs && mkdir /sys/fs/selinux && echo 1 > /sys/fs/selinux/enforce");
        let path = "/proc/$$/attr/current";
        let report = policy(&format!("mount --bind /tmp/replacement {path};"));
        report.assert(
            "AF_ALG",
            "blocked",
            "by SELinux, in the context user_u:user_r:user_t:s0",
        );
        assert!(report.steps("AF_ALG")[0].contains("ausearch"));
    });
    // systemd's RestrictAddressFamilies= is a filter with another error.
    let socket = (libc::SYS_socket, Some(libc::AF_ALG as u32));
    among_own_mounts(|| {
        fs::write("/tmp/replacement", "0::/system.slice/sums.service\n").expect("/tmp");
        let prepare = "mount --bind /tmp/replacement /proc/$$/cgroup;";
        let report = refused(socket.0, socket.1, Errno::EAFNOSUPPORT, prepare);
        report.assert(
            "AF_ALG",
            "blocked by seccomp",
            "by the filter of sums.service",
        );
        let fix = "in sums.service: add AF_ALG to RestrictAddressFamilies=";
        assert_eq!(report.steps("AF_ALG"), [fix]);
        let report = refused(socket.0, socket.1, Errno::EPERM, prepare);
        assert!(report.steps("AF_ALG")[0].ends_with("SystemCallFilter="));
    });
    among_own_mounts(|| {
        sh("mount -t tmpfs tmpfs /run && touch /run/.containerenv");
        let report = refused(socket.0, socket.1, Errno::EPERM, "");
        report.assert("AF_ALG", "blocked by seccomp", "of the container");
        assert!(report.steps("AF_ALG").concat().contains("seccomp="));
    });
    Completion::Completed
}

fn what_only_root_sees() {
    let _config = Config::new("install adler32 /bin/false\n");
    sh(&format!("chmod 0600 {CONFIG}"));
    let report = Report::of_user();
    report.assert("not seen", "not readable", CONFIG);
    assert_eq!(report.steps("not seen"), ["as root: adler32 info"]);
    report.assert("module", "not loaded", "");
    let report = Report::now();
    let labels = report.findings.iter().map(|finding| &finding["label"]);
    assert!(labels.into_iter().all(|label| label != "not seen"));
    report.assert("module", "disabled", "");
}
