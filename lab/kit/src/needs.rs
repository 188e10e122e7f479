// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The programs that must be installed to generate the metadata.

use std::path::Path;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use nix::sys::statvfs::statvfs;

use crate::headers::version;
use crate::headers::Headers;

/// Programs that the kernel's build runs, with their Debian packages.
const PROGRAMS: &[(&str, &str)] = &[
    ("bc", "bc"),
    ("bindgen", "bindgen"),
    ("bison", "bison"),
    ("flex", "flex"),
    ("make", "make"),
    ("pahole", "pahole"),
    ("python3", "python3"),
    ("rustc", "rustc"),
    ("rustfmt", "rustfmt"),
    ("tar", "tar"),
    ("xz", "xz-utils"),
];

/// How many bytes of disk space the source, the build and the metadata take.
const SPACE: u64 = 1_200_000_000;

/// Fails unless there is space in `dir` to generate metadata. Otherwise, the disk would be full for
/// other programs, too, until the kit fails.
pub fn check_space(dir: &Path) -> Result<()> {
    let disk = statvfs(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let free = disk.blocks_available() * disk.fragment_size();
    if free < SPACE {
        let megabytes = |bytes| bytes / 1_000_000;
        bail!(
            "{} MB of disk space are free in {}, but {} MB are needed",
            megabytes(free),
            dir.display(),
            megabytes(SPACE)
        );
    }
    Ok(())
}

/// Fails unless everything is installed. The error names the remedies.
pub fn check(headers: &Headers) -> Result<()> {
    match missing(headers) {
        missing if missing.is_empty() => Ok(()),
        missing => bail!("{}", missing.join("; ")),
    }
}

/// Returns the remedies for everything that is missing.
fn missing(headers: &Headers) -> Vec<String> {
    let mut packages: Vec<String> = PROGRAMS
        .iter()
        .filter(|(program, _)| version(program).is_none())
        .map(|(_, package)| (*package).to_owned())
        .collect();
    if let Some(compiler) = headers.compiler() {
        if version(compiler).is_none() {
            packages.push(package_of(compiler));
        }
    }
    let rustc = version("rustc");
    if rustc.is_some() && !core_path().is_some_and(|core| Path::new(&core).exists()) {
        packages.push("rust-src".to_owned());
    }
    let mut missing = Vec::new();
    if !packages.is_empty() {
        missing.push(format!("apt install {}", packages.join(" ")));
    }
    if let Some(rustc) = rustc.filter(|rustc| rustc != headers.rustc()) {
        missing.push(format!(
            "the kernel was built with {}, but `rustc` is {rustc}: \
             put the directory of the former first in PATH",
            headers.rustc()
        ));
    }
    missing
}

/// Returns the package of a compiler such as `x86_64-linux-gnu-gcc-14`.
fn package_of(compiler: &str) -> String {
    let Some(start) = compiler.find("gcc").or_else(|| compiler.find("clang")) else {
        return compiler.to_owned();
    };
    let (prefix, compiler) = compiler.split_at(start);
    match prefix.trim_end_matches('-') {
        foreign @ ("aarch64-linux-gnu" | "x86_64-linux-gnu")
            if !foreign.starts_with(std::env::consts::ARCH) =>
        {
            format!("{compiler}-{}", foreign.replace('_', "-"))
        }
        _ => compiler.to_owned(),
    }
}

/// Returns the path of the source of `core`, which the kernel's build compiles.
fn core_path() -> Option<String> {
    let output = std::process::Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .ok()?;
    let sysroot = String::from_utf8(output.stdout).ok()?;
    Some(format!(
        "{}/lib/rustlib/src/rust/library/core/src/lib.rs",
        sysroot.trim_end()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compilers_have_packages() {
        assert_eq!(package_of("x86_64-linux-gnu-gcc-14"), "gcc-14");
        assert_eq!(
            package_of("aarch64-linux-gnu-gcc-14"),
            "gcc-14-aarch64-linux-gnu"
        );
        assert_eq!(package_of("gcc-14"), "gcc-14");
        assert_eq!(package_of("clang-19"), "clang-19");
        assert_eq!(package_of("cc"), "cc");
    }

    #[test]
    fn everything_missing_is_reported_at_once() {
        let headers = Headers {
            release: "7.3.4+deb13-amd64".to_owned(),
            dir: "/nonexistent".into(),
            config: "CONFIG_CC_VERSION_TEXT=\"x86_64-nowhere-gcc-99 (Debian 99.1)\"\n\
                     CONFIG_RUSTC_VERSION_TEXT=\"rustc 0.1.0\"\n"
                .to_owned(),
        };
        let missing = missing(&headers).join("; ");
        assert!(missing.contains(" gcc-99"), "{missing}");
        assert!(missing.contains("rustc 0.1.0"), "{missing}");
    }
}
