// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The cache directory, which holds everything that can be made again, and its locks.

use std::ffi::OsString;
use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::TryLockError;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use rust_kernel_kit::lock;

/// The environment variable that names another cache directory.
const VARIABLE: &str = "ADLER32_CACHE";
/// The name of the cache directory in the user's cache home.
const NAME: &str = "adler32";
/// The file that marks a directory as the lab's.
const TAG: &str = "CACHEDIR.TAG";
/// The tag's contents, as <https://bford.info/cachedir/> specifies: backup programs skip the
/// directory.
const SIGNATURE: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# Made by lab.\n";
/// A part of the tags that cargo writes.
const CARGO_SIGNATURE: &str = "# This file is a cache directory tag created by cargo.";

/// The root, and the name that it has while it is made.
pub const ROOT: &str = "root";
pub const NEW_ROOT: &str = "root.new";
/// What cargo built, if the makefile makes cargo use the cache.
const CRATES: &str = "cargo";
/// The lock that labs share while they use the cache.
const IN_USE: &str = "in-use";
/// The lock of the lab that changes the cache.
const CHANGING: &str = "changing";

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
        mark(dir)?;
        let in_use = open_lock(&dir.join(IN_USE))?;
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
        let file = open_lock(&self.join(CHANGING))?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            eprintln!("lab: waiting for another lab to finish its setup");
        }
        file.lock()?;
        Ok(file)
    }

    /// Removes everything that the lab made, once no lab uses the cache. Removes the directory if
    /// nothing else is left in it.
    pub fn clean(dir: &Path) -> Result<()> {
        if !dir.exists() {
            return Ok(());
        }
        if !is_marked(dir) {
            // Removing an empty directory loses nothing.
            return fs::remove_dir(dir).with_context(|| {
                format!(
                    "{} contains no {TAG} of the lab's: the lab did not make the directory",
                    dir.display()
                )
            });
        }
        let in_use = open_lock(&dir.join(IN_USE))?;
        if let Err(TryLockError::WouldBlock) = in_use.try_lock() {
            eprintln!("lab: waiting for other labs to end");
        }
        in_use.lock()?;
        check_mounts(dir)?;
        for name in [ROOT, NEW_ROOT] {
            remove_dir(&dir.join(name))?;
        }
        remove_crates(&dir.join(CRATES))?;
        let left: Vec<_> = names(dir)?
            .into_iter()
            .filter(|name| ![TAG, IN_USE, CHANGING].iter().any(|own| name == own))
            .map(|name| name.display().to_string())
            .collect();
        if !left.is_empty() {
            eprintln!(
                "lab: left in {}, because the lab did not make it: {}",
                dir.display(),
                left.join(", ")
            );
            return Ok(());
        }
        let remove = || {
            for name in [CHANGING, TAG, IN_USE] {
                match fs::remove_file(dir.join(name)) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    result => result?,
                }
            }
            fs::remove_dir(dir)
        };
        remove().with_context(|| format!("cannot remove {}", dir.display()))
    }
}

/// Removes the directory `dir` and its contents, if it exists. Does not follow a symbolic link.
pub fn remove_dir(dir: &Path) -> Result<()> {
    if !dir.is_symlink() && dir.is_dir() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    Ok(())
}

/// Removes the directories in `dir` that cargo marked, then those that are empty.
fn remove_crates(dir: &Path) -> Result<()> {
    if dir.is_symlink() || !dir.is_dir() {
        return Ok(());
    }
    let tag = fs::read_to_string(dir.join(TAG)).unwrap_or_default();
    if tag.contains(CARGO_SIGNATURE) {
        return remove_dir(dir);
    }
    for name in names(dir)? {
        remove_crates(&dir.join(name))?;
    }
    // Fails if the directory is not empty.
    let _ = fs::remove_dir(dir);
    Ok(())
}

/// Fails if anything is mounted in `dir`: removing the cache would remove what is mounted.
fn check_mounts(dir: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    match mount_in(&mounts, &dir.canonicalize()?) {
        Some(mount) => bail!("{} is mounted: unmount it first", mount.display()),
        None => Ok(()),
    }
}

/// Returns a mount point in `dir`, from the lines of `mountinfo`.
fn mount_in(mountinfo: &str, dir: &Path) -> Option<PathBuf> {
    mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        // The kernel escapes these characters.
        .map(|mount| {
            PathBuf::from(
                mount
                    .replace("\\040", " ")
                    .replace("\\011", "\t")
                    .replace("\\012", "\n")
                    .replace("\\134", "\\"),
            )
        })
        .find(|mount| mount != dir && mount.starts_with(dir))
}

/// Makes `dir` if needed and marks it as the lab's. Fails if others made it.
fn mark(dir: &Path) -> Result<()> {
    let shown = dir.display();
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(dir)
        .with_context(|| format!("cannot make {shown}"))?;
    if fs::metadata(dir)?.mode() & 0o002 != 0 {
        bail!("{shown} cannot be the cache: everybody can change it");
    }
    // Another lab may mark the directory at the same time.
    let guard = File::open(dir)?;
    guard.lock()?;
    if is_marked(dir) {
        return Ok(());
    }
    let foreign = names(dir)?.into_iter().find(|name| name != CRATES);
    if let Some(name) = foreign {
        bail!(
            "{shown} contains {}, which the lab did not make: \
             set {VARIABLE} to a new or empty directory",
            name.display()
        );
    }
    fs::write(dir.join(TAG), SIGNATURE).with_context(|| format!("cannot write in {shown}"))
}

/// Returns whether the lab marked `dir`.
fn is_marked(dir: &Path) -> bool {
    let tag = dir.join(TAG);
    !tag.is_symlink() && fs::read_to_string(tag).is_ok_and(|text| text == SIGNATURE)
}

fn open_lock(path: &Path) -> Result<File> {
    lock::open(path).with_context(|| format!("cannot open {}", path.display()))
}

/// Returns the names of everything in `dir`.
fn names(dir: &Path) -> Result<Vec<OsString>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    Ok(entries
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs::Permissions;
    use std::os::unix::fs::symlink;
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    /// What cargo writes into its directories.
    const CARGO_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
        # This file is a cache directory tag created by cargo.\n";

    fn write(file: &Path, text: &str) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// Makes a directory with `files`.
    fn directory(files: &[(&str, &str)]) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            write(&dir.path().join(name), text);
        }
        dir
    }

    /// Returns the files and symbolic links in `dir`.
    fn files(dir: &Path) -> BTreeSet<PathBuf> {
        let mut all = BTreeSet::new();
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                all.append(&mut files(&path));
            } else {
                all.insert(path);
            }
        }
        all
    }

    fn open(dir: &Path) -> Result<()> {
        let cache = Cache::open(dir)?;
        cache.lock().map(drop)
    }

    #[test]
    fn a_directory_of_others_is_refused() {
        for contents in [
            &[(".ssh/id_ed25519", "key"), ("letters/draft", "text")][..],
            // Marked by another program.
            &[("CACHEDIR.TAG", CARGO_TAG), ("debug/build/x", "")],
            &[("cargo/Cargo.toml", "[package]"), ("README.md", "")],
        ] {
            let dir = directory(contents);
            let before = files(dir.path());
            let opened = open(dir.path()).map_err(|error| error.to_string());
            assert_eq!(files(dir.path()), before, "{opened:?}");
            assert!(opened.unwrap_err().contains("did not make"));
            let cleaned = Cache::clean(dir.path()).map_err(|error| error.to_string());
            assert_eq!(files(dir.path()), before, "{cleaned:?}");
            assert!(cleaned.unwrap_err().contains("did not make"));
        }
    }

    #[test]
    fn cleaning_removes_only_what_the_lab_made() {
        let dir = directory(&[("cargo/ab/0123/CACHEDIR.TAG", CARGO_TAG)]);
        let dir = dir.path();
        open(dir).unwrap();
        write(&dir.join("root/usr/bin/gcc"), "");
        write(&dir.join("root.new/usr/bin/gcc"), "");
        let others = ["notes", "photos/1.jpg", "cargo/src/main.rs"].map(|name| dir.join(name));
        for file in &others {
            write(file, "keep me");
        }
        Cache::clean(dir).unwrap();
        let mut left = files(dir);
        left.retain(|file| {
            !["CACHEDIR.TAG", "changing", "in-use"]
                .map(|name| dir.join(name))
                .contains(file)
        });
        assert_eq!(left, BTreeSet::from(others));
        // The directory is still the lab's.
        open(dir).unwrap();
    }

    #[test]
    fn cleaning_removes_the_directory() {
        let dir = directory(&[]);
        let dir = dir.path().join("cache");
        open(&dir).unwrap();
        write(&dir.join("root/usr/bin/gcc"), "");
        write(&dir.join("cargo/ab/0123/CACHEDIR.TAG"), CARGO_TAG);
        Cache::clean(&dir).unwrap();
        assert!(!dir.exists());
        Cache::clean(&dir).unwrap();
    }

    #[test]
    fn symbolic_links_are_not_followed() {
        for name in ["in-use", "changing", "CACHEDIR.TAG", "root"] {
            let place = directory(&[("file", "keep me"), ("dir/file", "keep me")]);
            let cache = place.path().join("cache");
            open(&cache).unwrap();
            let link = cache.join(name);
            let _ = fs::remove_file(&link);
            let to = if name == "root" { "dir" } else { "file" };
            symlink(place.path().join(to), link).unwrap();
            let results = [open(&cache), Cache::clean(&cache)];
            for file in ["file", "dir/file"] {
                let text = fs::read_to_string(place.path().join(file)).unwrap_or_default();
                assert_eq!(text, "keep me", "{name}: {file}: {results:?}");
            }
        }
    }

    #[test]
    fn a_cache_that_everybody_can_change_is_refused() {
        let dir = directory(&[]);
        fs::set_permissions(&dir, Permissions::from_mode(0o777)).unwrap();
        let opened = open(dir.path()).map_err(|error| error.to_string());
        assert!(files(dir.path()).is_empty(), "{opened:?}");
        assert!(opened.unwrap_err().contains("everybody can change"));
    }

    #[test]
    fn mounts_in_the_cache_are_found() {
        let mounts = "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            26 25 0:5 / /home/me/my\\040cache/root/proc rw - proc proc rw\n\
            27 25 0:5 / /home/me/cache-2/x rw - proc proc rw\n";
        let find = |dir| mount_in(mounts, Path::new(dir));
        let found = find("/home/me/my cache");
        assert_eq!(
            found.as_deref(),
            Some(Path::new("/home/me/my cache/root/proc"))
        );
        assert_eq!(find("/home/me/cache"), None);
    }
}
