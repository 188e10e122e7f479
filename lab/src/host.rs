// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the lab needs of the host: root privileges, and the packages that make the root.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::anyhow;
use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use nix::unistd::getgid;
use nix::unistd::getuid;
use rust_kernel_kit::command;

/// The packages that make a Debian root, each with a file that shows that it is installed.
const NEEDED: [(&str, &str); 2] = [
    ("mmdebstrap", "/usr/bin/mmdebstrap"),
    (
        "debian-archive-keyring",
        "/usr/share/keyrings/debian-archive-keyring.gpg",
    ),
];

/// Replaces this process by the same command under sudo, unless it runs as root. The cache
/// directory and the caller are passed as arguments, because sudo clears the environment.
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
        "the lab must run as root, and sudo does not run ({error}): install sudo or run as root"
    ))
}

/// Installs with apt the packages that are missing on the host.
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
            "missing on this host: {}: install with your package manager",
            missing.join(", ")
        );
    }
    eprintln!("lab: installing on this host: {}", missing.join(" "));
    // An archive that does not offer these packages may be broken: try to install all the same.
    if let Err(error) = command::step("apt-get update", Command::new("apt-get").arg("update")) {
        eprintln!("lab: {error:#}");
    }
    command::step(
        "apt-get install",
        Command::new("apt-get")
            .args(["install", "--yes", "--no-install-recommends"])
            .args(&missing)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

/// Returns apt's lines for `suite` in the archives that the host uses. There are none if the host
/// is not Debian, or has not downloaded its package index.
pub fn apt_lines(suite: &str) -> Result<Vec<String>> {
    let output = Command::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(LABEL)|$(REPO_URI)",
            "Created-By: Packages",
        ])
        .output()
        .context("cannot run apt-get")?;
    Ok(lines_of(&String::from_utf8_lossy(&output.stdout), suite))
}

/// Makes apt's lines from `LABEL|URI` pairs. The first pair of each label counts.
fn lines_of(targets: &str, suite: &str) -> Vec<String> {
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
    fn archives_are_those_of_the_host() {
        let targets = "Other|http://other/\nDebian-Security|http://mirror/security/\n\
                       Debian|http://mirror/debian/\nDebian|http://second/\n";
        assert_eq!(
            lines_of(targets, "trixie"),
            [
                "deb http://mirror/debian/ trixie main",
                "deb http://mirror/debian/ trixie-updates main",
                "deb http://mirror/security/ trixie-security main",
            ]
        );
        assert!(lines_of("Ubuntu|http://mirror/ubuntu/\n", "trixie").is_empty());
        assert!(lines_of("", "trixie").is_empty());
    }
}
