// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The source that a kernel was built from.

use std::fs;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;

use crate::command;
use crate::directory;
use crate::headers::Headers;

/// Where the source is.
#[derive(Debug)]
pub enum Source {
    /// A file: an archive `NAME.tar.xz` of the directory `NAME`, or a Debian package that contains
    /// such an archive.
    File(PathBuf),
    /// A package that apt offers, and its version, which is the version of the headers.
    Package(String, String),
}

impl Source {
    /// Returns `file` if it is given, else the installed linux-source package, else the package in
    /// `downloads`, else the package that apt offers. If none exists, the error names the remedies.
    pub fn find(headers: &Headers, file: Option<PathBuf>, downloads: &Path) -> Result<Self> {
        if let Some(file) = file {
            if !file.exists() {
                bail!("no file {}", file.display());
            }
            return Ok(Self::File(file));
        }
        let package = format!("linux-source-{}", headers.series());
        let Some(version) = installed(&format!("linux-headers-{}", headers.release)) else {
            bail!(
                "the headers are not from a Debian package: name the kernel source with --source"
            );
        };
        let archive = Path::new("/usr/src").join(format!("{package}.tar.xz"));
        if installed(&package).as_ref() == Some(&version) && archive.exists() {
            return Ok(Self::File(archive));
        }
        let downloaded = downloads.join(file_name(&package, &version));
        if is_complete(&downloaded) {
            return Ok(Self::File(downloaded));
        }
        let wanted = format!("{package}={version}");
        let offered = Command::new("apt-cache").args(["show", &wanted]).output();
        if !offered.is_ok_and(|output| output.status.success()) {
            bail!(
                "apt does not offer {wanted}: run `apt update`, upgrade the kernel, \
                 or name the kernel source with --source"
            );
        }
        Ok(Self::Package(package, version))
    }

    /// Returns the file. A package is downloaded into the directory `work`, and moved to
    /// `downloads` when it is complete.
    pub fn fetch(&self, work: &Path, downloads: &Path) -> Result<PathBuf> {
        match self {
            Self::File(file) => Ok(file.clone()),
            Self::Package(package, version) => {
                directory::make(downloads)?;
                download(package, version, work).context(
                    "run `apt update` and try again, or name the kernel source with --source",
                )?;
                let name = file_name(package, version);
                let (file, complete) = (work.join(&name), downloads.join(&name));
                File::open(&file)?.sync_all()?;
                fs::rename(&file, &complete)?;
                Ok(complete)
            }
        }
    }
}

/// Returns the name of the file of a package.
fn file_name(package: &str, version: &str) -> String {
    format!("{package}_{version}_all.deb")
}

/// Returns whether a package exists and is complete. After a power failure, it may be cut short.
fn is_complete(package: &Path) -> bool {
    let status = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// Returns the version of an installed package.
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
    // The files of a package are installed before the package is configured.
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
fn download(package: &str, version: &str, work: &Path) -> Result<()> {
    command::step(
        &format!("download {package} {version}"),
        Command::new("apt-get")
            .current_dir(work)
            // The user `_apt` may not write in `work`.
            .args(["-o", "APT::Sandbox::User=root", "download"])
            .arg(format!("{package}={version}")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::write;

    #[test]
    fn an_incomplete_package_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, package) = (dir.path().join("tree"), dir.path().join("source.deb"));
        let control = "Package: source\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\n\
                       Description: a\n";
        write(&tree.join("DEBIAN/control"), control);
        write(&tree.join("usr/src/source.tar.xz"), "source");
        let mut build = Command::new("dpkg-deb");
        command::output(build.arg("--build").args([&tree, &package])).unwrap();
        assert!(is_complete(&package));
        let file = File::options().write(true).open(&package).unwrap();
        for length in [package.metadata().unwrap().len() - 10, 100, 0] {
            file.set_len(length).unwrap();
            assert!(!is_complete(&package), "{length} bytes are complete");
        }
        fs::remove_file(&package).unwrap();
        assert!(!is_complete(&package));
    }
}
