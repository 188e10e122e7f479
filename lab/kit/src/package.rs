// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Packages of metadata. Many computers with the same kernel need to generate it only once.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;

use crate::command;
use crate::headers::version;
use crate::headers::Headers;
use crate::metadata;
use crate::metadata::Metadata;

/// Where the packages install the metadata of each kernel.
const INSTALLED: &str = "/usr/lib/rust-kernel-metadata";
/// The file that names the symbols that the crates export.
const SYMBOLS: &str = "symbols";

const PACKAGE: &str = include_str!("../scripts/package.sh");

/// Returns whether the package for the kernel `release` is installed.
pub fn is_installed(release: &str) -> bool {
    dir(release).exists()
}

/// Returns the installed metadata. Fails if it is not the metadata of the installed kernel, or not
/// one that the installed compiler can read.
pub fn read(headers: &Headers) -> Result<Metadata> {
    read_from(&dir(&headers.release), headers).with_context(|| {
        format!(
            "remove the package rust-kernel-metadata-{}, which is for another kernel or compiler",
            headers.release
        )
    })
}

fn read_from(dir: &Path, headers: &Headers) -> Result<Metadata> {
    let read = |name| {
        let path = dir.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let (needed, installed) = (read("rustc.version")?, version("rustc").unwrap_or_default());
    if needed != installed {
        bail!("the metadata is for {needed}, but `rustc` is {installed}");
    }
    metadata::compare(&read(SYMBOLS)?.lines().collect(), headers)?;
    let mut crates = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if metadata::is_crate(&path) {
            crates.push(path);
        }
    }
    let target = dir.join("target.json");
    Ok(Metadata {
        crates,
        target: target.exists().then_some(target),
    })
}

/// Makes a package from the directory `dir` that modules are built against, in the directory
/// `packages`.
pub fn make(dir: &Path, headers: &Headers, packages: &Path) -> Result<()> {
    let release = &headers.release;
    if headers.is_arm64() != cfg!(target_arch = "aarch64") {
        // The compiler runs the macros, which are built for this architecture.
        bail!("the metadata of {release} is only for the compiler of this computer");
    }
    command::step(
        &format!("package the metadata of {release}"),
        Command::new("bash")
            .args(["-c", PACKAGE, "package.sh"])
            .args([dir, Path::new(release), packages]),
    )
}

fn dir(release: &str) -> PathBuf {
    Path::new(INSTALLED).join(release)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::write;

    #[test]
    fn metadata_of_another_kernel_or_compiler_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("metadata");
        let rustc = version("rustc").unwrap();
        let headers = Headers {
            release: "7.3.4-test".to_owned(),
            dir: place.path().to_owned(),
            config: String::new(),
        };
        let symvers = "0x0\t_RNvA\tvmlinux\tEXPORT_SYMBOL_GPL\t\n";
        write(&place.path().join("Module.symvers"), symvers);
        write(&dir.join("libkernel.rmeta"), "");
        let read_with = |rustc: &str, symbols: &str| {
            write(&dir.join("rustc.version"), rustc);
            write(&dir.join(SYMBOLS), symbols);
            read_from(&dir, &headers).map(|metadata| metadata.crates)
        };
        let crates = read_with(&rustc, "_RNvA\n").unwrap();
        assert_eq!(crates, [dir.join("libkernel.rmeta")]);
        for (rustc, symbols, reason) in [
            ("rustc 0.1.0", "_RNvA\n", "rustc 0.1.0"),
            (&rustc, "_RNvB\n", "_RNvB"),
            (&rustc, "", "_RNvA"),
        ] {
            let error = format!("{:#}", read_with(rustc, symbols).unwrap_err());
            assert!(error.contains(reason), "{error}");
        }
    }
}
