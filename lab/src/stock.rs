// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Prepares a stock kernel: its packages, and the directory that modules are built against.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context;
use anyhow::Result;
use rust_kernel_kit::command;
use rust_kernel_kit::owned::Lock;

use crate::cache::Cache;
use crate::foreign;
use crate::kernel::Kernel;
use crate::root::Root;
use crate::root::STAMPS;
use crate::source;

const UNPACK: &str = include_str!("../scripts/unpack-image.sh");

/// Returns the directory in `root` that modules for the kernel `release` are built against, if the
/// kernel is ready.
pub fn build_dir(root: &Root, release: &str) -> Option<String> {
    let text = fs::read_to_string(root.join(STAMPS).join(stamp(release))).ok()?;
    text.lines().nth(1).map(str::to_owned)
}

/// Returns the name of the stamp for the kernel `release`. The first line of the stamp is the
/// version of the kernel's packages, the second line is the directory for modules.
fn stamp(release: &str) -> String {
    format!("kernels/{release}")
}

/// Makes `kernel` ready in `root`. The caller must hold the kernel's lock. The cache's lock is held
/// for downloads only, because generating the metadata takes minutes.
pub fn prepare(cache: &Cache, root: &Root, kernel: &Kernel) -> Result<()> {
    let release = &kernel.release;
    // In memory, so that an interrupted run leaves nothing.
    let work = Path::new("/tmp/kernel");
    fs::create_dir(root.join("tmp/kernel"))?;
    let source = download(root, kernel, work, &cache.lock()?)?;
    command::step(
        &format!("{release}: unpack image and modules"),
        root.command_in(work, "sh", None)?
            .args(["-c", UNPACK, "unpack-image.sh", release]),
    )?;
    let kit = Path::new("tmp").join(rust_kernel_kit::NAME);
    fs::copy("/proc/self/exe", root.join(&kit))?;
    let kit = Path::new("/").join(kit);
    let build_dir = command::output(
        root.command(kit.to_str().context("the kit's name")?)?
            .arg(release)
            .arg("--source")
            .arg(source)
            .stderr(Stdio::inherit()),
    )
    .with_context(|| format!("try another version than {release}: `lab kernels` lists them"))?;
    fs::remove_dir_all(root.join("tmp/kernel"))?;
    let version = &kernel.package_version;
    root.write_stamp(&stamp(release), &format!("{version}\n{build_dir}"))
}

/// Installs the headers of `kernel`, and downloads the packages of its image and its modules, and
/// those of the headers of arm64, into the directory `work`. Downloads the source, and returns its
/// path. `lock` is the cache's lock.
fn download(root: &Root, kernel: &Kernel, work: &Path, lock: &Lock) -> Result<PathBuf> {
    let release = &kernel.release;
    let install =
        |packages: &[&str]| root.install(&format!("{release}: install headers"), packages, lock);
    if kernel.flavour.is_arm64() {
        foreign::prepare(root, lock)?;
        foreign::refresh_index(root, lock)?;
        // The headers of arm64 are unpacked. With the programs of this architecture, they work.
        let version = release.split('-').next().unwrap_or_default();
        install(&[
            &format!("linux-headers-{version}-common"),
            &format!("linux-kbuild-{version}"),
        ])?;
    } else {
        install(&[&format!("linux-headers-{release}")])?;
    }
    let mut download = root.command_in(work, "apt-get", None)?;
    // The user `_apt` may not write in `work`.
    download.args(["-o", "APT::Sandbox::User=root", "download"]);
    let mut parts = vec!["binary", "modules"];
    if kernel.flavour.is_arm64() {
        parts.push("headers");
        foreign::select(&mut download);
    }
    download.args(parts.iter().map(|part| format!("linux-{part}-{release}")));
    command::step(
        &format!("{release}: download image and modules"),
        &mut download,
    )?;
    source::fetch(root, kernel, lock)
}
