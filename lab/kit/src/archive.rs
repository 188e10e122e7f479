// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the sources of a kernel are packed in.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::progress;

/// Unpacks `file`, an archive `NAME.tar.xz` of a folder called `NAME` or Debian's package with one, to
/// `tree`, a folder, but for what matches one of `excluded`, patterns of tar for paths in it. `bash` is
/// to run bash wherever the paths are those of the files.
pub fn unpack(bash: &mut Command, file: &Path, tree: &Path, excluded: &[&str]) -> Result<()> {
    // The package linux-source-X.Y_VERSION_all.deb has linux-source-X.Y.tar.xz.
    let is_package = file.extension() == Some(OsStr::new("deb"));
    let file_name = file.file_name().unwrap_or_default().to_string_lossy();
    let end = if is_package { "_" } else { ".tar.xz" };
    let name = file_name.split(end).next().unwrap_or_default();
    let archive = if is_package {
        "dpkg-deb --fsys-tarfile \"$file\" | tar -xO ./usr/src/$name.tar.xz"
    } else {
        "cat \"$file\""
    };
    let script = format!(
        "set -o pipefail
         name=$1 file=$2 tree=$3
         shift 3
         mkdir -p \"$tree\"
         {archive} | xz --decompress --stdout --threads=0 |
         tar -x -C \"$tree\" --strip-components=1 --anchored --wildcards \"$@\""
    );
    bash.args(["-ec", &script, "unpack", name])
        .args([file, tree])
        .args(
            excluded
                .iter()
                .map(|pattern| format!("--exclude={name}/{pattern}")),
        );
    progress::step(&format!("unpack {file_name}"), bash)
}
