// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Kernel source, as Debian packages it.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Result;
use rust_kernel_kit::command;
use rust_kernel_kit::owned::Lock;

use crate::kernel::Kernel;
use crate::root::Root;

/// Where the packages are kept in the root: the archive drops old versions, and all flavours of a
/// kernel are built from the same package.
const KEPT: &str = "/var/cache/lab";

/// Returns the path in the root of the package with the source of exactly `kernel`. Downloads the
/// package if it is not kept yet. `_lock` is the cache's lock.
pub fn fetch(root: &Root, kernel: &Kernel, _lock: &Lock) -> Result<PathBuf> {
    let package = kernel.source_package();
    let version = &kernel.package_version;
    let name = format!("{package}_{version}_all.deb");
    let kept = Path::new(KEPT).join(&name);
    let kept_on_host = root.join(kept.strip_prefix("/")?);
    if kept_on_host.exists() {
        return Ok(kept);
    }
    // Moved only when it is complete.
    let partial = Path::new(KEPT).join("partial");
    let partial_on_host = root.join(partial.strip_prefix("/")?);
    fs::create_dir_all(&partial_on_host)?;
    let what = format!("{package}={version}");
    command::step(
        &format!("download {what}"),
        root.command_in(&partial, "apt-get", None)?
            // The user `_apt` may not write in `partial`.
            .args(["-o", "APT::Sandbox::User=root", "download", &what]),
    )?;
    fs::rename(partial_on_host.join(name), kept_on_host)?;
    Ok(kept)
}
