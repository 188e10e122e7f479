// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The sources of a kernel, as Debian packages them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rust_kernel_kit::progress;

use crate::kernel::Kernel;
use crate::root::Root;

/// Where the packages are kept, in the root: the archive forgets old versions, and each flavour of
/// a kernel is made from the same one.
const KEPT: &str = "var/cache/lab";

/// The package with the sources of exactly `kernel`, in the root; downloaded unless it was before.
/// Needs the cache's lock.
pub fn kept(root: &Root, kernel: &Kernel) -> Result<PathBuf> {
    let package = kernel.source_package();
    let version = &kernel.package_version;
    let kept = Path::new("/").join(KEPT);
    let file = kept.join(format!("{package}_{version}_all.deb"));
    if !root.join(file.strip_prefix("/")?).exists() {
        download(root, &format!("{package}={version}"), &kept)?;
    }
    Ok(file)
}

/// Downloads the package called `what` into `kept`, where it is only seen whole.
fn download(root: &Root, what: &str, kept: &Path) -> Result<()> {
    let partial = kept.join("partial");
    fs::create_dir_all(root.join(partial.strip_prefix("/")?))?;
    progress::step(
        &format!("download {what}"),
        root.command_in(&partial, "sh", None)?.args([
            "-ec",
            // The sandbox user of apt may not write here.
            "apt-get -o APT::Sandbox::User=root download $0
             mv ./*.deb ..",
            what,
        ]),
    )
}
