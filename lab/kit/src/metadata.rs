// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Generates the Rust metadata of a kernel from its source.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;

use crate::archive;
use crate::command;
use crate::headers::value;
use crate::headers::Headers;
use crate::rustc;

/// The generated files.
pub struct Metadata {
    /// `*.rmeta` and `*.so`, for the directory `rust`.
    pub crates: Vec<PathBuf>,
    /// `target.json`, for the directory `scripts`, unless rustc itself knows the target.
    pub target: Option<PathBuf>,
}

/// The parts of the source that the metadata of no architecture is made from. Headers in
/// `drivers/android` and `drivers/base` are needed.
const EXCLUDED: &[&str] = &["drivers/*.c", "drivers/[!ab]*/*.h", "fs/*.c", "net/*.c"];

/// Arguments for make that build the crates without `objtool`, `resolve_btfids` and `sign-file`,
/// programs that need more libraries and that the crates do not need. The configuration of the Rust
/// code stays complete.
const PREPARE: [&str; 4] = [
    "prepare",
    "CONFIG_OBJTOOL=",
    "CONFIG_DEBUG_INFO_BTF=",
    "CONFIG_MODULE_SIG_FORMAT=",
];

/// Generates the metadata in the directory `work` from the source in `file`, and checks the
/// metadata.
pub fn make(headers: &Headers, file: &Path, work: &Path) -> Result<Metadata> {
    let (tree, build) = (work.join("source"), work.join("build"));
    fs::create_dir_all(&build).with_context(|| format!("cannot make {}", build.display()))?;
    let other_architectures = if headers.is_arm64() {
        "arch/[!a]*/*.[chS]"
    } else {
        "arch/[!x]*/*.[chS]"
    };
    let excluded = [EXCLUDED, &[other_architectures]].concat();
    archive::unpack(&mut Command::new("bash"), file, &tree, &excluded)?;
    let release = &headers.release;
    fs::write(build.join(".config"), &headers.config)?;
    rustc::write(work)?;
    let compiler = headers
        .compiler()
        .context("the kernel's configuration names no compiler")?;
    let jobs = std::thread::available_parallelism()?;
    for arguments in [&["olddefconfig"][..], &PREPARE] {
        command::step(
            &format!("{release}: make {}", arguments[0]),
            Command::new("make")
                .current_dir(&tree)
                // DKMS calls the kit from a make. Its variables are not for this make.
                .env_remove("MAKEFLAGS")
                .env_remove("MAKELEVEL")
                .env_remove("KERNELRELEASE")
                .arg(format!("-j{jobs}"))
                .arg(format!("O={}", build.display()))
                .arg(format!("CC={compiler}"))
                .arg(format!("RUSTC={}", work.join(rustc::NAME).display()))
                .args(headers.cross())
                .args(arguments),
        )?;
    }

    let (mut crates, mut exports) = (Vec::new(), String::new());
    for entry in fs::read_dir(build.join("rust"))? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("h")) {
            exports += &fs::read_to_string(path)?;
        } else if is_crate(&path) {
            crates.push(path);
        }
    }
    compare(&regenerated(&exports), headers).with_context(|| {
        let made = fs::read_to_string(build.join(".config")).unwrap_or_default();
        format!(
            "this is not the source that {release} was built from: modules built with it would not load \
             (rustc of the kernel: {}; installed: {})",
            headers.rustc(),
            value(&made, "CONFIG_RUSTC_VERSION_TEXT").unwrap_or("none"),
        )
    })?;
    let target = build.join("scripts/target.json");
    Ok(Metadata {
        crates,
        target: target.exists().then_some(target),
    })
}

/// Returns whether a file contains a crate.
pub fn is_crate(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str);
    matches!(extension, Some("rmeta" | "so"))
}

/// Returns the symbols that the regenerated `rust/exports_*_generated.h` export.
fn regenerated(exports: &str) -> BTreeSet<&str> {
    exports
        .lines()
        .filter_map(|line| {
            line.strip_prefix("EXPORT_SYMBOL_RUST_GPL(")?
                .strip_suffix(");")
        })
        .collect()
}

/// Returns the symbols that the stock kernel image exports, from `Module.symvers`.
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

/// Fails unless the stock kernel exports every symbol in `symbols` and no other mangled symbol.
pub fn compare(symbols: &BTreeSet<&str>, headers: &Headers) -> Result<()> {
    let count = count_equal(symbols, &stock(&headers.symvers()?))?;
    let release = &headers.release;
    command::note(format_args!(
        "{release}: all {count} Rust symbols match the kernel's"
    ));
    Ok(())
}

/// Checks that `stock` contains every symbol in `regenerated`, and no other mangled Rust symbol.
/// Returns the number of mangled symbols.
fn count_equal(regenerated: &BTreeSet<&str>, stock: &BTreeSet<&str>) -> Result<usize> {
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
            "{} symbols of the stock kernel were not generated: {} ...",
            lacking.len(),
            first(&lacking)
        );
    }
    match regenerated.iter().copied().filter(mangled).count() {
        0 => bail!("the kernel exports no Rust symbols"),
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
        count_equal(&regenerated(exports), &stock(symvers))
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
}
