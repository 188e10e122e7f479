// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Directories that one program makes, uses and removes. Nothing here follows a symbolic link.

use std::ffi::OsString;
use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::io;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;
use nix::fcntl::Flock;
use nix::fcntl::FlockArg;
use nix::libc::O_NOFOLLOW;

use crate::command::note;

/// A file that marks a directory as made by a program.
pub struct Mark {
    pub name: &'static str,
    /// What the file contains, at least.
    pub text: &'static str,
}

impl Mark {
    /// Marks `dir`, which must not be marked.
    pub fn put(&self, dir: &Path) -> io::Result<()> {
        File::create_new(dir.join(self.name))?.write_all(self.text.as_bytes())
    }

    /// Returns whether `dir` is marked.
    pub fn is_on(&self, dir: &Path) -> bool {
        let file = dir.join(self.name);
        is_file(&file) && fs::read_to_string(file).is_ok_and(|text| text.contains(self.text))
    }
}

/// Makes `dir` and its parents. Others may read them, but not change them.
pub fn make(dir: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(dir)
        .with_context(|| format!("cannot make {}", dir.display()))
}

/// Removes the directory `dir` and its contents, if it exists.
pub fn remove(dir: &Path) -> Result<()> {
    if is_dir(dir) {
        fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    Ok(())
}

/// Returns the names of everything in `dir`.
pub fn names(dir: &Path) -> Result<Vec<OsString>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    Ok(entries
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<_>>()?)
}

pub fn is_dir(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|it| it.is_dir())
}

pub fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|it| it.is_file())
}

/// A lock, which is held until this value is dropped.
pub type Lock = Flock<File>;

/// Locks the file `path` for this process alone, and makes the file if needed. Prints `waiting` if
/// another process holds the lock.
pub fn lock(path: &Path, waiting: &str) -> Result<Lock> {
    let (try_lock, lock) = (FlockArg::LockExclusiveNonblock, FlockArg::LockExclusive);
    lock_as(path, try_lock, lock, waiting)
}

/// Like [`lock`], but other processes can hold the lock at the same time with this function.
pub fn lock_shared(path: &Path, waiting: &str) -> Result<Lock> {
    let (try_lock, lock) = (FlockArg::LockSharedNonblock, FlockArg::LockShared);
    lock_as(path, try_lock, lock, waiting)
}

fn lock_as(path: &Path, try_lock: FlockArg, lock: FlockArg, waiting: &str) -> Result<Lock> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .custom_flags(O_NOFOLLOW)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    Flock::lock(file, try_lock)
        .or_else(|(file, error)| {
            if error == Errno::EWOULDBLOCK {
                note(waiting);
            }
            Flock::lock(file, lock)
        })
        .map_err(|(_, error)| error.into())
}
