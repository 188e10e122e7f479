// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The cache directory, which holds everything that can be made again, and its locks.

use std::fs;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use rust_kernel_kit::owned;
use rust_kernel_kit::owned::Lock;
use rust_kernel_kit::owned::Mark;

/// The environment variable that names another cache directory.
const VARIABLE: &str = "ADLER32_CACHE";
/// The name of the cache directory in the user's cache home.
const NAME: &str = "adler32";
/// What marks the directory as the lab's, as <https://bford.info/cachedir/> specifies: backup
/// programs skip the directory.
const MARK: Mark = Mark {
    name: "CACHEDIR.TAG",
    text: "Signature: 8a477f597d28d172789f06886806bc55\n# Made by lab.\n",
};
/// What marks the directories of cargo.
const CARGO_MARK: Mark = Mark {
    name: MARK.name,
    text: "# This file is a cache directory tag created by cargo.",
};

/// The root, and the name that it has while it is made.
pub const ROOT: &str = "root";
pub const NEW_ROOT: &str = "root.new";
/// What cargo built, if the makefile makes cargo use the cache.
const CRATES: &str = "cargo";
/// The lock that labs share while they use the cache.
const IN_USE: &str = "in-use";
/// The lock of the lab that makes the root, or downloads or installs packages in it.
const CHANGING: &str = "changing";

/// The cache directory. A shared lock marks the cache as in use until this value is dropped.
pub struct Cache {
    dir: PathBuf,
    _in_use: Lock,
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
        let waiting = format!("waiting for `lab clean` of {}", dir.display());
        Ok(Self {
            dir: dir.to_owned(),
            _in_use: owned::lock_shared(&dir.join(IN_USE), &waiting)?,
        })
    }

    /// Returns the path of `name` in the cache.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }

    /// Waits until no other lab makes the root, or downloads or installs packages. Keeps others
    /// from it until the returned lock is dropped.
    pub fn lock(&self) -> Result<Lock> {
        owned::lock(
            &self.join(CHANGING),
            "waiting for another lab to install packages",
        )
    }

    /// Removes everything that the lab made, once no lab uses the cache. Removes the directory if
    /// nothing else is left in it.
    pub fn clean(dir: &Path) -> Result<()> {
        if !dir.exists() {
            return Ok(());
        }
        if !MARK.is_on(dir) {
            // Removing an empty directory loses nothing.
            return fs::remove_dir(dir).with_context(|| {
                format!(
                    "{} contains no {} of the lab's: the lab did not make the directory",
                    dir.display(),
                    MARK.name
                )
            });
        }
        let _in_use = owned::lock(&dir.join(IN_USE), "waiting for other labs to end")?;
        check_mounts(dir)?;
        for name in [ROOT, NEW_ROOT] {
            owned::remove(&dir.join(name))?;
        }
        remove_crates(&dir.join(CRATES))?;
        let left: Vec<_> = owned::names(dir)?
            .into_iter()
            .filter(|name| ![MARK.name, IN_USE, CHANGING].iter().any(|own| name == own))
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
            for name in [CHANGING, MARK.name, IN_USE] {
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

/// Removes the directories in `dir` that cargo marked, then those that are empty.
fn remove_crates(dir: &Path) -> Result<()> {
    if !owned::is_dir(dir) {
        return Ok(());
    }
    if CARGO_MARK.is_on(dir) {
        return owned::remove(dir);
    }
    for name in owned::names(dir)? {
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
    owned::make(dir)?;
    if fs::metadata(dir)?.mode() & 0o002 != 0 {
        bail!("{shown} cannot be the cache: everybody can change it");
    }
    // Another lab may mark the directory at the same time.
    let guard = File::open(dir)?;
    guard.lock()?;
    if MARK.is_on(dir) {
        return Ok(());
    }
    let foreign = owned::names(dir)?.into_iter().find(|name| name != CRATES);
    if let Some(name) = foreign {
        bail!(
            "{shown} contains {}, which the lab did not make: \
             set {VARIABLE} to a new or empty directory",
            name.display()
        );
    }
    MARK.put(dir)
        .with_context(|| format!("cannot write in {shown}"))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::symlink;
    use std::os::unix::fs::PermissionsExt;

    use rust_kernel_kit::testing::tree;
    use rust_kernel_kit::testing::write;
    use tempfile::TempDir;

    use super::*;

    /// What cargo writes into its directories.
    const CARGO_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
        # This file is a cache directory tag created by cargo.\n";

    /// Makes a directory with `files`.
    fn directory(files: &[(&str, &str)]) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            write(&dir.path().join(name), text);
        }
        dir
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
            let before = tree(dir.path());
            let opened = open(dir.path()).map_err(|error| error.to_string());
            assert_eq!(tree(dir.path()), before, "{opened:?}");
            assert!(opened.unwrap_err().contains("did not make"));
            let cleaned = Cache::clean(dir.path()).map_err(|error| error.to_string());
            assert_eq!(tree(dir.path()), before, "{cleaned:?}");
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
        let others = ["cargo/src/main.rs", "notes", "photos/1.jpg"].map(|name| dir.join(name));
        for file in &others {
            write(file, "keep me");
        }
        Cache::clean(dir).unwrap();
        let own = ["CACHEDIR.TAG", "changing", "in-use"].map(|name| dir.join(name));
        let mut left = tree(dir);
        left.retain(|file, _| file.is_file() && !own.contains(file));
        assert_eq!(left.into_keys().collect::<Vec<_>>(), others);
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
        assert!(tree(dir.path()).is_empty(), "{opened:?}");
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
