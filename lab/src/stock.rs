// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Preparing one stock kernel: its packages, and the folder that modules are built against.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use rust_kernel_kit::progress;

use crate::kernel::Kernel;
use crate::root::{Root, STAMPS};
use crate::sources;

/// The folder that modules for the kernel called `release` are built against, if it is ready in
/// `root`.
pub fn folder(root: &Root, release: &str) -> Option<String> {
    let text = fs::read_to_string(root.join(STAMPS).join(stamp(release))).ok()?;
    text.lines().nth(1).map(str::to_owned)
}

/// Its first line is the version of the kernel's packages, its second one the folder.
fn stamp(release: &str) -> String {
    format!("kernels/{release}")
}

/// Makes `kernel` ready in `root`. Needs the cache's lock.
pub fn prepare(root: &Root, kernel: &Kernel) -> Result<()> {
    let release = &kernel.release;
    root.install(
        &format!("{release}: install headers"),
        &[&format!("linux-headers-{release}")],
    )?;
    // In memory: none of it outlives this run.
    let work = Path::new("/tmp/kernel");
    fs::create_dir(root.join("tmp/kernel"))?;
    unpack(root, kernel, work)?;
    let kit = Path::new("tmp").join(rust_kernel_kit::NAME);
    fs::copy("/proc/self/exe", root.join(&kit))?;
    let kit = Path::new("/").join(kit);
    let folder = root
        .output(
            root.command(kit.to_str().context("the kit's name")?)?
                .arg(release)
                .arg("--source")
                .arg(sources::kept(root, kernel)?)
                .stderr(Stdio::inherit()),
        )
        .with_context(|| format!("try another version than {release}: `lab kernels` lists them"))?;
    fs::remove_dir_all(root.join("tmp/kernel"))?;
    let version = &kernel.package_version;
    root.write_stamp(&stamp(release), &format!("{version}\n{folder}"))
}

/// Downloads the image and the modules of exactly `kernel` and unpacks them.
fn unpack(root: &Root, kernel: &Kernel, work: &Path) -> Result<()> {
    let release = &kernel.release;
    progress::step(
        &format!("{release}: download image and modules"),
        root.command_in(work, "apt-get", None)?
            // The sandbox user of apt may not write here.
            .args(["-o", "APT::Sandbox::User=root", "download"])
            .args([
                format!("linux-binary-{release}"),
                format!("linux-modules-{release}"),
            ]),
    )?;
    // Modules that are not compressed are listed for modprobe in half a second instead of seven,
    // which counts because that is done again for every module under test.
    progress::step(
        &format!("{release}: unpack image and modules"),
        root.command_in(work, "sh", None)?.args([
            "-ec",
            "dpkg-deb -x linux-binary-$0_*.deb /
             dpkg-deb -x linux-modules-$0_*.deb /
             rm linux-binary-* linux-modules-*
             cd /usr/lib/modules/$0
             find kernel -name '*.xz' -print0 | xargs -0r -n 200 -P $(nproc) xz -df
             depmod $0",
            release,
        ]),
    )
}
