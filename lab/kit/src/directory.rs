// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Directories that the kit makes. A mark in each of them shows that the kit may remove it.

use std::fs;
use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;

/// The file that marks a directory.
pub const MARK: &str = ".rust-kernel-kit";

/// Makes an empty directory, in place of one that the kit made before.
pub fn make(dir: &Path) -> Result<()> {
    remove(dir)?;
    let make = || {
        fs::create_dir(dir)?;
        File::create_new(dir.join(MARK))
    };
    make().with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(())
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
    if !exists(&dir.join(MARK))? {
        File::create_new(dir.join(MARK))?;
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else if entry.file_name() != MARK {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_file(dir.join(MARK))?;
    fs::remove_dir(dir)
}

/// Returns whether `dir` may be removed: the kit made it, it is empty, or nothing exists there.
pub fn is_own(dir: &Path) -> Result<bool> {
    let check = || {
        if !exists(dir)? {
            return Ok(true);
        }
        let is_empty_or_marked = dir.symlink_metadata()?.is_dir()
            && (is_file(&dir.join(MARK)) || fs::read_dir(dir)?.next().is_none());
        Ok::<_, io::Error>(is_empty_or_marked || is_of_earlier_version(dir))
    };
    check().with_context(|| format!("cannot read {}", dir.display()))
}

/// Returns whether an earlier version of the kit, which made no marks, made and completed `dir`.
fn is_of_earlier_version(dir: &Path) -> bool {
    let is_link = |name: &str| fs::symlink_metadata(dir.join(name)).is_ok_and(|it| it.is_symlink());
    // No kernel build makes the file `rustc.version`.
    !dir.is_symlink()
        && !is_link(MARK)
        && is_file(&dir.join("rust/rustc.version"))
        && is_file(&dir.join("scripts/target.json"))
        && is_link("arch")
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|metadata| metadata.is_file())
}

/// Returns whether `path` exists, even as a symbolic link that leads nowhere.
fn exists(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        result => result.map(|_| true),
    }
}
