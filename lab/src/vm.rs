// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Runs a command in a guest.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use nix::mount::MsFlags;
use rust_kernel_kit::command;

use crate::flavour::Variant;
use crate::foreign;
use crate::guest::End;
use crate::guest::VmOptions;
use crate::guest::RUN;
use crate::guest::SHARE;
use crate::job::Job;
use crate::job::INIT;
use crate::klog;
use crate::qemu;
use crate::root::Root;
use crate::root::GUEST_DIR;
use crate::sandbox;
use crate::terminal::Terminal;
use crate::uml;

/// The exit status if the guest's kernel reported a fault or died.
pub const FAULT: i32 = 97;
/// The exit status if the time limit was reached, as in timeout(1).
pub const EXPIRED: i32 = 124;

/// The init of guests in which the lab's own program cannot run.
const FOREIGN_INIT: &str = include_str!("../scripts/foreign-init.sh");

/// How many lines of the console are shown when a guest dies or takes too long.
const TAIL: usize = 60;

/// Boots `variant`, runs `job` in the guest and returns the exit status of the lab.
pub fn run(root: &Root, variant: &Variant, options: &VmOptions, job: &Job) -> Result<i32> {
    let share = share_root(root, variant)?;
    if !options.modules.is_empty() {
        install_modules(root, &share, &variant.release, &options.modules)?;
    }
    // This must happen before any thread is started.
    let terminal = job.terminal.then(Terminal::open).transpose()?;
    let guest = if variant.flavour.is_uml() {
        uml::start(root, &share, variant, options, job)?
    } else {
        qemu::start(root, &share, variant, options, job)?
    };
    let end = guest.wait(options.limit, terminal.as_ref())?;
    drop(terminal);
    verdict(end, options.limit)
}

/// Makes a view of the root for guests, without the root's mounts and with init. Returns its path
/// on the host.
fn share_root(root: &Root, variant: &Variant) -> Result<PathBuf> {
    let share = root.join(RUN).join(SHARE);
    fs::create_dir_all(&share)?;
    let init = share.join(INIT.trim_start_matches('/'));
    let mount_guest_dir = || sandbox::mount_new("tmpfs", &share.join(GUEST_DIR), "mode=755");
    if variant.is_arm64 {
        sandbox::bind(&foreign::user_space(root), &share, MsFlags::empty())?;
        let modules = Path::new("usr/lib/modules");
        sandbox::bind(&root.join(modules), &share.join(modules), MsFlags::empty())?;
        mount_guest_dir()?;
        fs::write(&init, FOREIGN_INIT)?;
        fs::set_permissions(&init, PermissionsExt::from_mode(0o755))?;
    } else {
        sandbox::bind(&root.join(""), &share, MsFlags::empty())?;
        mount_guest_dir()?;
        fs::copy("/proc/self/exe", init)?;
    }
    Ok(share)
}

/// Mounts a copy of the kernel's module directory, to which `modules` are added, over the directory
/// in `share`.
fn install_modules(root: &Root, share: &Path, release: &str, modules: &[PathBuf]) -> Result<()> {
    let dir = Path::new("usr/lib/modules").join(release);
    let own = root.join(&dir);
    let layer = root.join(RUN).join("modules");
    for name in ["kernel", "updates"] {
        fs::create_dir_all(layer.join(name))?;
    }
    for entry in fs::read_dir(&own)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), layer.join(entry.file_name()))?;
        }
    }
    for module in modules {
        let name = module
            .file_name()
            .with_context(|| format!("{} is no file", module.display()))?;
        fs::copy(module, layer.join("updates").join(name))
            .with_context(|| format!("cannot install {}", module.display()))?;
    }
    sandbox::bind(&own.join("kernel"), &layer.join("kernel"), MsFlags::empty())?;
    sandbox::bind(&layer, &share.join(&dir), MsFlags::MS_REC)?;
    let mut depmod = root.command("depmod")?;
    depmod
        .arg("-b")
        .arg(Path::new("/").join(RUN).join(SHARE))
        .arg(release);
    command::output(&mut depmod).map(drop)
}

/// Reports what went wrong, and returns the exit status of the lab.
fn verdict(end: End, limit: Duration) -> Result<i32> {
    if let Some(fault) = klog::fault(&end.console) {
        eprintln!("lab: the guest's kernel is in trouble:\n{fault}");
        return Ok(FAULT);
    }
    if end.expired {
        eprintln!(
            "lab: not done after {} s; the end of the guest's console:\n{}",
            limit.as_secs(),
            klog::tail(&end.console, TAIL)
        );
        return Ok(EXPIRED);
    }
    if let Some(why) = end.failed {
        bail!(
            "the guest cannot start: {why}\n{}",
            klog::tail(&end.console, TAIL)
        );
    }
    match end.status {
        Some(status) => Ok(status),
        None => {
            eprintln!(
                "lab: the guest died; its virtual machine printed:\n{}\nthe end of the guest's console:\n{}",
                end.messages.trim(),
                klog::tail(&end.console, TAIL)
            );
            Ok(FAULT)
        }
    }
}
