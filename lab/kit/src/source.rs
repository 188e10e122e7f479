// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The sources that a kernel was built from.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Result};

use crate::headers::Headers;
use crate::progress;

/// Where the sources are.
#[derive(Debug)]
pub enum Source {
    /// In a file: an archive `NAME.tar.xz` of a folder called `NAME`, or Debian's package with one.
    File(PathBuf),
    /// In the package archive that apt knows: a package, at the version of the headers.
    Package(String, String),
}

impl Source {
    /// The file if one is given; otherwise the installed linux-source package, or the one that apt
    /// offers. The error says how to mend it that there is neither.
    pub fn find(headers: &Headers, file: Option<PathBuf>) -> Result<Self> {
        if let Some(file) = file {
            if !file.exists() {
                bail!("no file {}", file.display());
            }
            return Ok(Self::File(file));
        }
        let package = format!("linux-source-{}", headers.series());
        let Some(version) = installed(&format!("linux-headers-{}", headers.release)) else {
            bail!("the headers are of no Debian package: name the kernel's sources by --source");
        };
        let archive = Path::new("/usr/src").join(format!("{package}.tar.xz"));
        if installed(&package).as_ref() == Some(&version) && archive.exists() {
            return Ok(Self::File(archive));
        }
        let wanted = format!("{package}={version}");
        let offered = Command::new("apt-cache").args(["show", &wanted]).output();
        if !offered.is_ok_and(|output| output.status.success()) {
            bail!("apt offers no {wanted}: apt update, or upgrade the kernel, or name its sources by --source");
        }
        Ok(Self::Package(package, version))
    }

    /// The file. What has to be downloaded goes to `work`, a folder.
    pub fn fetch(&self, work: &Path) -> Result<PathBuf> {
        match self {
            Self::File(file) => Ok(file.clone()),
            Self::Package(package, version) => download(package, version, work),
        }
    }
}

/// The version of an installed package.
fn installed(package: &str) -> Option<String> {
    let output = Command::new("dpkg-query")
        .args([
            "--show",
            "--showformat",
            "${db:Status-Status} ${Version}",
            package,
        ])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    // While a package is configured, its files are there.
    let (status, version) = text.split_once(' ')?;
    let unpacked = [
        "installed",
        "unpacked",
        "half-configured",
        "triggers-pending",
        "triggers-awaited",
    ];
    unpacked.contains(&status).then(|| version.to_owned())
}

/// Downloads the package into `work`.
fn download(package: &str, version: &str, work: &Path) -> Result<PathBuf> {
    progress::step(
        &format!("download {package} {version}"),
        Command::new("apt-get")
            .current_dir(work)
            // The sandbox user of apt may not write here.
            .args(["-o", "APT::Sandbox::User=root", "download"])
            .arg(format!("{package}={version}")),
    )?;
    Ok(work.join(format!("{package}_{version}_all.deb")))
}
