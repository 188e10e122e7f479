// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Preparing one stock kernel: its packages, and the Rust metadata that they lack.
//!
//! Debian's headers come without `rust/*.rmeta`, `rust/*.so` and `scripts/target.json`, so no Rust
//! module builds against them. The same sources, configuration and compilers give them again; that
//! they are the right ones shows in the names of the symbols, which are made of hashes over them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{bail, Context, Result};

use crate::kernel::Kernel;
use crate::root::{Root, STAMPS};
use crate::{progress, sources};

/// Whether `kernel` is ready in `root`.
pub fn is_ready(root: &Root, kernel: &Kernel) -> bool {
    root.join(STAMPS).join(stamp(kernel)).exists()
}

fn stamp(kernel: &Kernel) -> String {
    format!("kernels/{}", kernel.release)
}

/// Makes `kernel` ready in `root`. Needs the cache's lock.
pub fn prepare(root: &Root, kernel: &Kernel) -> Result<()> {
    let release = &kernel.release;
    root.install(
        &format!("{release}: install headers"),
        &[&format!("linux-headers-{release}")],
    )?;
    // In memory (half a GiB): many small files, none of which outlives this run.
    let work = Path::new("/tmp/kernel");
    fs::create_dir(root.join("tmp/kernel"))?;
    unpack(root, kernel, work)?;
    sources::unpack(root, kernel, &work.join("source"), EXCLUDED)?;
    let count = regenerate(root, kernel, work)?;
    eprintln!("lab: {release}: all {count} Rust symbols match the stock kernel's");
    fs::remove_dir_all(root.join("tmp/kernel"))?;
    root.write_stamp(&stamp(kernel), &kernel.package_version)
}

/// What is not needed of the sources: writing them all takes longer than reading them.
const EXCLUDED: &[&str] = &[
    "drivers/*.c",
    "drivers/gpu/drm/amd/include",
    "sound/*.c",
    "fs/*.c",
    "net/*.c",
    "arch/[!x]*/*.[chS]",
];

/// Downloads the image and the modules of exactly `kernel` and unpacks them.
fn unpack(root: &Root, kernel: &Kernel, work: &Path) -> Result<()> {
    let release = &kernel.release;
    progress::step(
        &format!("{release}: download image and modules"),
        root.command_in(work, "apt-get", None)?
            // The sandbox user of apt may not write here.
            .args(["-o", "APT::Sandbox::User=root", "download"])
            .args([
                format!("linux-binary-{release}"),
                format!("linux-modules-{release}"),
            ]),
    )?;
    // Modules that are not compressed are listed for modprobe in half a second instead of seven,
    // which counts because that is done again for every module under test.
    progress::step(
        &format!("{release}: unpack image and modules"),
        root.command_in(work, "sh", None)?.args([
            "-ec",
            "dpkg-deb -x linux-binary-$0_*.deb /
             dpkg-deb -x linux-modules-$0_*.deb /
             rm linux-binary-* linux-modules-*
             cd /usr/lib/modules/$0
             find kernel -name '*.xz' -print0 | xargs -0r -n 200 -P $(nproc) xz -df
             depmod $0",
            release,
        ]),
    )
}

/// Builds the Rust metadata in `work`/build, checks it, and lays it over the headers. Returns the
/// number of mangled symbols.
fn regenerate(root: &Root, kernel: &Kernel, work: &Path) -> Result<usize> {
    let headers = root
        .join("usr/src")
        .join(format!("linux-headers-{}", kernel.release));
    let work_host = root.join(work.strip_prefix("/")?);
    let build = work_host.join("build");
    fs::create_dir_all(&build)?;
    let config = fs::read_to_string(headers.join(".config"))?;
    fs::write(build.join(".config"), &config)?;
    let compiler = config_value(&config, "CONFIG_CC_VERSION_TEXT")
        .and_then(|text| text.split_whitespace().next())
        .context("the stock configuration names no compiler")?;

    let jobs = std::thread::available_parallelism()?;
    for targets in [&["olddefconfig"][..], &["prepare", "modules_prepare"]] {
        progress::step(
            &format!("{}: make {}", kernel.release, targets.join(" ")),
            root.command_in(&work.join("source"), "make", None)?
                .arg(format!("-j{jobs}"))
                .arg(format!("O={}", work.join("build").display()))
                .arg(format!("CC={compiler}"))
                .args(targets),
        )?;
    }

    let mut exports = String::new();
    for entry in fs::read_dir(build.join("rust"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "h") {
            exports += &fs::read_to_string(path)?;
        }
    }
    let symvers = fs::read_to_string(headers.join("Module.symvers"))?;
    let count = compare(&regenerated(&exports), &stock(&symvers)).with_context(|| {
        let rustc = |config| config_value(config, "CONFIG_RUSTC_VERSION_TEXT").unwrap_or("none").to_owned();
        let ours = fs::read_to_string(build.join(".config")).unwrap_or_default();
        format!(
            "the Rust metadata made for {} is not the stock kernel's, so modules built with it would \
             not load (stock compiler: {}; this one: {}); try another version: `lab kernels` lists them",
            kernel.release,
            rustc(&config),
            rustc(&ours),
        )
    })?;

    fs::create_dir_all(headers.join("rust"))?;
    for entry in fs::read_dir(build.join("rust"))? {
        let path = entry?.path();
        let wanted = path
            .extension()
            .is_some_and(|extension| extension == "rmeta" || extension == "so");
        if let (true, Some(name)) = (wanted, path.file_name()) {
            fs::copy(&path, headers.join("rust").join(name))?;
        }
    }
    fs::copy(
        build.join("scripts/target.json"),
        headers.join("scripts/target.json"),
    )?;
    Ok(count)
}

/// The value of `name` in a kernel configuration, without its quotes.
fn config_value<'a>(config: &'a str, name: &str) -> Option<&'a str> {
    config
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .map(|value| value.trim_matches('"'))
}

/// The symbols that the regenerated `rust/exports_*_generated.h` would export.
fn regenerated(exports: &str) -> BTreeSet<&str> {
    exports
        .lines()
        .filter_map(|line| {
            line.strip_prefix("EXPORT_SYMBOL_RUST_GPL(")?
                .strip_suffix(");")
        })
        .collect()
}

/// The symbols that the stock kernel image exports, from `Module.symvers`.
fn stock(symvers: &str) -> BTreeSet<&str> {
    symvers
        .lines()
        .filter_map(|line| {
            let mut fields = line.split('\t').skip(1);
            let symbol = fields.next()?;
            (fields.next()? == "vmlinux").then_some(symbol)
        })
        .collect()
}

/// Checks that the stock kernel exports all of `regenerated`, and that it exports no other mangled
/// Rust symbol. Returns the number of mangled ones.
fn compare(regenerated: &BTreeSet<&str>, stock: &BTreeSet<&str>) -> Result<usize> {
    let mangled = |symbol: &&str| symbol.starts_with("_R");
    let foreign: Vec<_> = regenerated.difference(stock).copied().collect();
    let lacking: Vec<_> = stock
        .difference(regenerated)
        .copied()
        .filter(mangled)
        .collect();
    let first = |symbols: &[&str]| {
        symbols
            .iter()
            .take(3)
            .copied()
            .collect::<Vec<_>>()
            .join(", ")
    };
    if !foreign.is_empty() {
        bail!(
            "{} symbols are not in the stock kernel: {} ...",
            foreign.len(),
            first(&foreign)
        );
    }
    if !lacking.is_empty() {
        bail!(
            "{} symbols of the stock kernel were not made: {} ...",
            lacking.len(),
            first(&lacking)
        );
    }
    match regenerated.iter().copied().filter(mangled).count() {
        0 => bail!("the kernel exports no Rust symbols at all"),
        count => Ok(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPORTS: &str = "EXPORT_SYMBOL_RUST_GPL(_RNvA);\nEXPORT_SYMBOL_RUST_GPL(_RNvB);\n\
                           EXPORT_SYMBOL_RUST_GPL(rust_helper_kunmap);\n";
    const SYMVERS: &str = "0x00000000\t_RNvA\tvmlinux\tEXPORT_SYMBOL_GPL\t\n\
                           0x00000000\t_RNvB\tvmlinux\tEXPORT_SYMBOL_GPL\t\n\
                           0x00000000\t_RNvC\tdrivers/some_module\tEXPORT_SYMBOL_GPL\t\n\
                           0x00000000\trust_helper_kunmap\tvmlinux\tEXPORT_SYMBOL_GPL\t\n\
                           0x00000000\tvmalloc\tvmlinux\tEXPORT_SYMBOL\t\n";

    fn check(exports: &str, symvers: &str) -> Result<usize> {
        compare(&regenerated(exports), &stock(symvers))
    }

    #[test]
    fn equal_symbols_pass() {
        assert_eq!(check(EXPORTS, SYMVERS).unwrap(), 2);
    }

    #[test]
    fn a_symbol_too_many_fails() {
        for symbol in ["_RNvX", "rust_helper_x"] {
            let exports = format!("{EXPORTS}EXPORT_SYMBOL_RUST_GPL({symbol});\n");
            assert!(check(&exports, SYMVERS)
                .unwrap_err()
                .to_string()
                .contains(symbol));
        }
    }

    #[test]
    fn a_missing_symbol_fails() {
        let exports = EXPORTS.replace("EXPORT_SYMBOL_RUST_GPL(_RNvB);\n", "");
        assert!(check(&exports, SYMVERS)
            .unwrap_err()
            .to_string()
            .contains("_RNvB"));
    }

    #[test]
    fn no_symbols_fail() {
        assert!(check("", "").is_err());
    }

    #[test]
    fn configuration_values() {
        let config = "CONFIG_A=y\nCONFIG_CC_VERSION_TEXT=\"gcc-14 (Debian) 14.2\"\n";
        assert_eq!(
            config_value(config, "CONFIG_CC_VERSION_TEXT"),
            Some("gcc-14 (Debian) 14.2")
        );
        assert_eq!(config_value(config, "CONFIG_CC"), None);
    }
}
