// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Archives of kernel source.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::command::step;

const UNPACK: &str = include_str!("../scripts/unpack.sh");

/// The parts of the source that neither a kernel's metadata nor the lab's kernels are built from.
/// Kconfig files are needed. Unpacking spends more time on writing files than on reading the
/// archive.
const UNUSED: &[&str] = &[
    "Documentation/*.rst",
    "Documentation/*.txt",
    "Documentation/*.yaml",
    "arch/*.dts",
    "arch/*.dtsi",
    "arch/*.dtso",
    "drivers/gpu/*.[ch]",
    "drivers/media/*.[ch]",
    "drivers/net/*/*.[ch]",
    "drivers/staging/*.[ch]",
    "sound/*.[ch]",
    "tools/perf",
    "tools/testing",
];

/// Unpacks the kernel source in `file` into the directory `tree`.
///
/// `file` is an archive `NAME.tar.xz` of the directory `NAME`, or the Debian package
/// `NAME_VERSION_all.deb` that contains such an archive. Paths in the archive that match a tar
/// pattern in `excluded` or in [`UNUSED`] are skipped. `bash` must run bash where the two paths are
/// valid, for example in another root.
pub fn unpack(bash: &mut Command, file: &Path, tree: &Path, excluded: &[&str]) -> Result<()> {
    let file_name = file.file_name().unwrap_or_default().to_string_lossy();
    let is_package = file.extension() == Some(OsStr::new("deb"));
    let end = if is_package { "_" } else { ".tar.xz" };
    let name = file_name.split(end).next().unwrap_or_default();
    bash.args(["-c", UNPACK, "unpack.sh", name])
        .args([file, tree])
        .args(
            UNUSED
                .iter()
                .chain(excluded)
                .map(|pattern| format!("--exclude={name}/{pattern}")),
        );
    step(&format!("unpack {file_name}"), bash)
}
