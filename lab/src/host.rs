// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the host must have: root's rights, and the packages that make the root.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{anyhow, bail, Context, Result};
use nix::unistd::{getgid, getuid};
use rust_kernel_kit::progress;

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
    // A broken archive that has nothing to do with these packages must not stop us.
    if let Err(error) = progress::step("apt-get update", Command::new("apt-get").arg("update")) {
        eprintln!("lab: {error:#}");
    }
    progress::step(
        "apt-get install",
        Command::new("apt-get")
            .args(["install", "--yes", "--no-install-recommends"])
            .args(&missing)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

/// Lines of a `sources.list` for `suite`, from the archives that this machine uses; none if it is no
/// Debian or has not read its package index.
pub fn archives(suite: &str) -> Result<Vec<String>> {
    let output = Command::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(LABEL)|$(REPO_URI)",
            "Created-By: Packages",
        ])
        .output()
        .context("cannot run apt-get")?;
    Ok(archive_lines(
        &String::from_utf8_lossy(&output.stdout),
        suite,
    ))
}

/// Makes the lines of `LABEL|URI` pairs, of which the first of each label counts.
fn archive_lines(targets: &str, suite: &str) -> Vec<String> {
    let uri = |wanted: &str| {
        targets
            .lines()
            .filter_map(|line| line.split_once('|'))
            .find_map(|(label, uri)| (label == wanted).then_some(uri))
    };
    let Some(debian) = uri("Debian") else {
        return Vec::new();
    };
    let mut lines = vec![
        format!("deb {debian} {suite} main"),
        format!("deb {debian} {suite}-updates main"),
    ];
    lines.extend(uri("Debian-Security").map(|uri| format!("deb {uri} {suite}-security main")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_those_of_the_machine() {
        let targets = "Other|http://other/\nDebian-Security|http://mirror/security/\n\
                       Debian|http://mirror/debian/\nDebian|http://second/\n";
        assert_eq!(
            archive_lines(targets, "trixie"),
            [
                "deb http://mirror/debian/ trixie main",
                "deb http://mirror/debian/ trixie-updates main",
                "deb http://mirror/security/ trixie-security main",
            ]
        );
        assert!(archive_lines("Ubuntu|http://mirror/ubuntu/\n", "trixie").is_empty());
        assert!(archive_lines("", "trixie").is_empty());
    }
}
