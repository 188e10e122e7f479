// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The sources that a kernel was built from.

use std::ffi::OsStr;
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

    /// Unpacks the sources to `tree`, a folder, but for those that match one of `excluded`, patterns
    /// for paths in it. `work` is a folder for what is downloaded.
    pub fn unpack(&self, work: &Path, tree: &Path, excluded: &[&str]) -> Result<()> {
        let file = match self {
            Self::File(file) => file.clone(),
            Self::Package(package, version) => download(package, version, work)?,
        };
        // The package linux-source-X.Y_VERSION_all.deb has linux-source-X.Y.tar.xz.
        let is_package = file.extension() == Some(OsStr::new("deb"));
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let end = if is_package { "_" } else { ".tar.xz" };
        let name = name.split(end).next().unwrap_or_default();
        let archive = if is_package {
            "dpkg-deb --fsys-tarfile \"$file\" | tar -xO ./usr/src/$name.tar.xz"
        } else {
            "cat \"$file\""
        };
        let unpack = format!(
            "set -o pipefail
             name=$1 file=$2 tree=$3
             shift 3
             {archive} | xz --decompress --threads=0 |
             tar -x -C \"$tree\" --strip-components=1 --anchored --wildcards \"$@\""
        );
        progress::step(
            &format!("unpack {}", file.display()),
            Command::new("bash")
                .args(["-ec", &unpack, "unpack", name])
                .args([&file, tree])
                .args(
                    excluded
                        .iter()
                        .map(|path| format!("--exclude={name}/{path}")),
                ),
        )
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
