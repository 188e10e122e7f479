// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The cache folder: where everything lives that can be made again, and the locks over it.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{bail, Context, Result};

/// Moves the cache folder when set.
const VARIABLE: &str = "ADLER32_CACHE";
/// The cache folder's name below the user's cache home.
const NAME: &str = "adler32";
/// Marks a folder as ours, so that `lab clean` never removes another one.
const TAG: &str = "CACHEDIR.TAG";
/// What <https://bford.info/cachedir/> asks for: backup programs skip such a folder.
const SIGNATURE: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# Made by lab.\n";

/// The cache folder, held in use (shared) for as long as this value lives.
pub struct Cache {
    dir: PathBuf,
    _in_use: File,
}

impl Cache {
    /// The folder that the environment asks for.
    pub fn default_dir() -> Result<PathBuf> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let dir = if let Some(dir) = set(VARIABLE) {
            PathBuf::from(dir)
        } else if let Some(dir) = set("XDG_CACHE_HOME") {
            Path::new(&dir).join(NAME)
        } else if let Some(home) = set("HOME") {
            Path::new(&home).join(".cache").join(NAME)
        } else {
            bail!("no place for the cache: set {VARIABLE} or HOME");
        };
        Ok(std::path::absolute(dir)?)
    }

    /// Makes the folder if need be, waits for a running `lab clean` and holds the folder in use.
    pub fn open(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let tag = dir.join(TAG);
        if !tag.exists() {
            fs::write(&tag, SIGNATURE)
                .with_context(|| format!("cannot write {}", tag.display()))?;
        }
        let in_use = File::create(dir.join("in-use"))?;
        if let Err(TryLockError::WouldBlock) = in_use.try_lock_shared() {
            eprintln!("lab: waiting for another lab that cleans {}", dir.display());
        }
        in_use.lock_shared()?;
        Ok(Self {
            dir: dir.to_owned(),
            _in_use: in_use,
        })
    }

    /// The path of `name` inside the cache.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }

    /// Waits until no other lab makes or changes anything in the cache, and keeps others from it
    /// until the returned lock is dropped.
    pub fn lock(&self) -> Result<File> {
        let file = File::create(self.join("changing"))?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            eprintln!("lab: waiting for another lab to finish its set-up");
        }
        file.lock()?;
        Ok(file)
    }

    /// Removes the folder, once nobody uses it.
    pub fn clean(dir: &Path) -> Result<()> {
        if !dir.exists() {
            return Ok(());
        }
        if !dir.join(TAG).exists() {
            // One that is empty is no loss.
            return fs::remove_dir(dir).with_context(|| {
                format!(
                    "{} has no {TAG}, so lab did not make it: remove it yourself if you mean to",
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
