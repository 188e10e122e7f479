// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The cache directory, which holds everything that can be made again, and its locks.

use std::fs;
use std::fs::File;
use std::fs::TryLockError;
use std::path::Path;
use std::path::PathBuf;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;

/// The environment variable that names another cache directory.
const VARIABLE: &str = "ADLER32_CACHE";
/// The name of the cache directory in the user's cache home.
const NAME: &str = "adler32";
/// The file that marks a directory as the lab's. `lab clean` removes no other directory.
const TAG: &str = "CACHEDIR.TAG";
/// The tag's contents, as <https://bford.info/cachedir/> specifies: backup programs skip the
/// directory.
const SIGNATURE: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# Made by lab.\n";

/// The cache directory. A shared lock marks the cache as in use until this value is dropped.
pub struct Cache {
    dir: PathBuf,
    _in_use: File,
}

impl Cache {
    /// Returns the directory that the environment selects.
    pub fn default_dir() -> Result<PathBuf> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let dir = if let Some(dir) = set(VARIABLE) {
            PathBuf::from(dir)
        } else if let Some(dir) = set("XDG_CACHE_HOME") {
            Path::new(&dir).join(NAME)
        } else if let Some(home) = set("HOME") {
            Path::new(&home).join(".cache").join(NAME)
        } else {
            bail!("no directory for the cache: set {VARIABLE} or HOME");
        };
        Ok(std::path::absolute(dir)?)
    }

    /// Makes the directory if needed, waits for a running `lab clean`, and marks the cache as in
    /// use.
    pub fn open(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let tag = dir.join(TAG);
        if !tag.exists() {
            fs::write(&tag, SIGNATURE)
                .with_context(|| format!("cannot write {}", tag.display()))?;
        }
        let in_use = File::create(dir.join("in-use"))?;
        if let Err(TryLockError::WouldBlock) = in_use.try_lock_shared() {
            eprintln!("lab: waiting for `lab clean` of {}", dir.display());
        }
        in_use.lock_shared()?;
        Ok(Self {
            dir: dir.to_owned(),
            _in_use: in_use,
        })
    }

    /// Returns the path of `name` in the cache.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }

    /// Waits until no other lab changes the cache, and keeps others from changing the cache until
    /// the returned lock is dropped.
    pub fn lock(&self) -> Result<File> {
        let file = File::create(self.join("changing"))?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            eprintln!("lab: waiting for another lab to finish its setup");
        }
        file.lock()?;
        Ok(file)
    }

    /// Removes the directory, once no lab uses it.
    pub fn clean(dir: &Path) -> Result<()> {
        if !dir.exists() {
            return Ok(());
        }
        if !dir.join(TAG).exists() {
            // Removing an empty directory loses nothing.
            return fs::remove_dir(dir).with_context(|| {
                format!(
                    "{} contains no {TAG}, so the lab did not make it: remove the directory yourself",
                    dir.display()
                )
            });
        }
        let in_use = File::create(dir.join("in-use"))?;
        if let Err(TryLockError::WouldBlock) = in_use.try_lock() {
            eprintln!("lab: waiting for other labs to end");
        }
        in_use.lock()?;
        fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))
    }
}
