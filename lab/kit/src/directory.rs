// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Directories that the kit makes. A mark in each of them shows that the kit may remove it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;

use crate::owned::is_dir;
use crate::owned::is_file;
use crate::owned::names;
use crate::owned::Mark;

/// The file that marks a directory.
pub const MARK: Mark = Mark {
    name: ".rust-kernel-kit",
    text: "",
};

/// Makes an empty directory, in place of one that the kit made before.
pub fn make(dir: &Path) -> Result<()> {
    remove(dir)?;
    fs::create_dir(dir)
        .and_then(|()| MARK.put(dir))
        .with_context(|| format!("cannot make {}", dir.display()))
}

/// Removes a directory that the kit made, if it exists.
pub fn remove(dir: &Path) -> Result<()> {
    if !is_own(dir)? {
        bail!(
            "{} is not a directory that rust-kernel-kit made: remove it yourself",
            dir.display()
        );
    }
    match remove_marked(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.with_context(|| format!("cannot remove {}", dir.display())),
    }
}

/// Removes everything in `dir`, and last the mark, so that an interrupted removal can be repeated.
fn remove_marked(dir: &Path) -> io::Result<()> {
    if !MARK.is_on(dir) {
        MARK.put(dir)?;
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else if entry.file_name() != MARK.name {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_file(dir.join(MARK.name))?;
    fs::remove_dir(dir)
}

/// Returns how many bytes of disk space a file, or a directory and everything in it, takes.
pub fn size(path: &Path) -> io::Result<u64> {
    let metadata = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        result => result?,
    };
    let mut size = metadata.blocks() * 512;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            size += self::size(&entry?.path())?;
        }
    }
    Ok(size)
}

/// Returns whether `dir` may be removed: the kit made it, it is empty, or nothing exists there.
pub fn is_own(dir: &Path) -> Result<bool> {
    match dir.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        result => result.with_context(|| format!("cannot read {}", dir.display()))?,
    };
    Ok(is_dir(dir) && (MARK.is_on(dir) || names(dir)?.is_empty() || is_of_earlier_version(dir)))
}

/// Returns whether an earlier version of the kit, which made no marks, made and completed `dir`.
fn is_of_earlier_version(dir: &Path) -> bool {
    // No kernel build makes the file `rustc.version`.
    !dir.join(MARK.name).is_symlink()
        && is_file(&dir.join("rust/rustc.version"))
        && is_file(&dir.join("scripts/target.json"))
        && dir.join("arch").is_symlink()
}
