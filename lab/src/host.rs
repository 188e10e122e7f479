// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the host must have: root's rights, and the packages that make the root.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{anyhow, bail, Result};
use nix::unistd::{getgid, getuid};

use crate::progress;

/// What makes a Debian root, by the file that shows it is there.
const NEEDED: [(&str, &str); 2] = [
    ("mmdebstrap", "/usr/bin/mmdebstrap"),
    (
        "debian-archive-keyring",
        "/usr/share/keyrings/debian-archive-keyring.gpg",
    ),
];

/// Replaces this process by the same command under sudo, unless it is root already. The cache
/// folder and the caller travel as arguments, because sudo clears the environment.
pub fn become_root(cache: &Path) -> Result<()> {
    if getuid().is_root() {
        return Ok(());
    }
    let mut command = Command::new("sudo");
    command
        .arg("--preserve-env=http_proxy,https_proxy,no_proxy,TERM")
        .arg("--")
        .arg(std::env::current_exe()?)
        .arg("--cache")
        .arg(cache)
        .arg("--caller")
        .arg(format!("{}:{}", getuid(), getgid()))
        .args(std::env::args_os().skip(1).collect::<Vec<OsString>>());
    let error = command.exec();
    Err(anyhow!(
        "root's rights are needed and sudo does not run ({error}): install sudo or run as root"
    ))
}

/// Installs what is missing on the host with apt.
pub fn ensure_packages() -> Result<()> {
    let missing: Vec<_> = NEEDED
        .iter()
        .filter(|(_, file)| !Path::new(file).exists())
        .map(|(package, _)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!(
            "missing on this machine: {}; install it with your package manager",
            missing.join(", ")
        );
    }
    eprintln!("lab: installing on this machine: {}", missing.join(" "));
    progress::step(
        "update the host's package index",
        Command::new("apt-get").arg("update"),
    )?;
    progress::step(
        "install host packages",
        Command::new("apt-get")
            .args(["install", "--yes", "--no-install-recommends"])
            .args(&missing)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}
