// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The cache: a directory with one subdirectory for each kernel.
//!
//! Root builds modules with the makefiles in the cache, so nobody else may be able to change them.
//! And the kit removes directories in the cache, so everything there must be its own.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use nix::fcntl::fcntl;
use nix::fcntl::FcntlArg;
use nix::fcntl::FdFlag;
use nix::sys::stat::umask;
use nix::sys::stat::Mode;
use nix::unistd::geteuid;

use crate::build_dir;
use crate::directory;
use crate::headers::Headers;
use crate::metadata::Metadata;
use crate::owned;

/// The file in the cache that is locked while the cache is changed.
const LOCK: &str = "lock";
/// The end of the name of a directory for what is downloaded.
const DOWNLOADS: &str = ".downloads";
/// Others may read the cache, whatever the caller's umask is.
const UMASK: Mode = Mode::from_bits_truncate(0o022);

/// Returns the directory in `cache` that modules for `headers` are built against, if it exists.
pub fn find(cache: &Path, headers: &Headers) -> Result<Option<PathBuf>> {
    check(cache)?;
    let dir = cache.join(&headers.release);
    Ok(build_dir::is_current(&dir, headers).then_some(dir))
}

/// Returns the directory in `cache` that modules for `headers` are built against. Makes it if
/// needed, from the metadata that `generate` makes in an empty directory. What `generate` puts into
/// the second directory is there when it is called again after a failure.
pub fn provide(
    cache: &Path,
    headers: &Headers,
    generate: impl FnOnce(&Path, &Path) -> Result<Metadata>,
) -> Result<PathBuf> {
    umask(UMASK);
    owned::make(cache).context("run rust-kernel-kit as root")?;
    // No lock is made in a directory of others.
    check(cache)?;
    let lock = lock(cache).context("run rust-kernel-kit as root")?;
    check_contents(cache)?;
    // If this process is killed, the programs that it has started hold the lock until they end.
    fcntl(&*lock, FcntlArg::F_SETFD(FdFlag::empty()))?;
    let dir = cache.join(&headers.release);
    if !build_dir::is_current(&dir, headers) {
        remove_stale(cache, &headers.release)?;
        let work = cache.join(format!("{}.work", headers.release));
        let downloads = downloads(cache, &headers.release);
        directory::make(&work)?;
        let made = generate(&work, &downloads)
            .and_then(|metadata| build_dir::make(&dir, headers, &metadata));
        // The unpacked source is large. It is removed even if making the directory failed.
        directory::remove(&work)?;
        made?;
        directory::remove(&downloads)?;
    }
    Ok(dir)
}

/// Returns the directory for what is downloaded for the kernel `release`.
pub fn downloads(cache: &Path, release: &str) -> PathBuf {
    cache.join(format!("{release}{DOWNLOADS}"))
}

/// Waits until no other process changes `cache`. Keeps others from it until the returned lock is
/// dropped.
fn lock(cache: &Path) -> Result<owned::Lock> {
    let waiting = format!(
        "waiting for another process that changes {}",
        cache.display()
    );
    owned::lock(&cache.join(LOCK), &waiting)
}

/// Fails if others can change `cache`, or if `cache` contains anything that the kit did not make. A
/// cache that does not exist is accepted.
fn check(cache: &Path) -> Result<()> {
    check_access(cache)?;
    let Err(error) = check_contents(cache) else {
        return Ok(());
    };
    // Another kit may have been making or removing what the check found: a directory has no mark
    // yet, or no longer.
    let lock = match owned::is_file(&cache.join(LOCK)) {
        true => lock(cache).ok(),
        false => None,
    };
    match lock {
        Some(_lock) => check_contents(cache),
        None => Err(error),
    }
}

/// Fails if `cache` contains anything that the kit did not make.
fn check_contents(cache: &Path) -> Result<()> {
    if !cache.exists() {
        return Ok(());
    }
    for name in owned::names(cache)? {
        let path = cache.join(&name);
        let is_lock = name == LOCK && owned::is_file(&path);
        if !is_lock && !directory::is_own(&path)? {
            bail!(
                "{} contains {}, which rust-kernel-kit did not make: \
                 choose a new or empty directory with --cache",
                cache.display(),
                name.to_string_lossy()
            );
        }
    }
    Ok(())
}

/// Fails if `cache` exists and is not a directory, or if others can change it.
fn check_access(cache: &Path) -> Result<()> {
    let Ok(metadata) = cache.symlink_metadata() else {
        return Ok(());
    };
    if metadata.is_symlink() {
        bail!(
            "{} is a symbolic link: name the directory itself",
            cache.display()
        );
    }
    if !metadata.is_dir() {
        bail!("{} is not a directory", cache.display());
    }
    let path = cache.canonicalize()?;
    for dir in path.ancestors() {
        let metadata = dir.metadata()?;
        let others_may_write = metadata.mode() & 0o022 != 0;
        // In a sticky directory, others cannot rename what is not theirs.
        let is_sticky = metadata.mode() & 0o1000 != 0 && dir != path;
        let is_owner = metadata.uid() == 0 || metadata.uid() == geteuid().as_raw();
        if !is_owner || (others_may_write && !is_sticky) {
            bail!(
                "{} cannot be the cache: others can change {}",
                cache.display(),
                dir.display()
            );
        }
    }
    Ok(())
}

/// Removes the directories of kernels other than `current` whose headers are no longer installed,
/// and what interrupted runs left.
fn remove_stale(cache: &Path, current: &str) -> Result<()> {
    for name in owned::names(cache)? {
        let release = name.to_string_lossy();
        let release = release.strip_suffix(DOWNLOADS).unwrap_or(&release);
        let headers = Path::new("/lib/modules").join(release).join("build");
        if release != current && owned::is_dir(&cache.join(&name)) && !headers.exists() {
            directory::remove(&cache.join(&name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::fs::Permissions;
    use std::os::unix::fs::chown;
    use std::os::unix::fs::symlink;
    use std::os::unix::fs::PermissionsExt;
    use std::thread;
    use std::thread::sleep;
    use std::time::Duration;

    use tempfile::TempDir;

    use super::*;
    use crate::testing::tree;
    use crate::testing::write;

    /// A release that no kernel on the host has.
    const RELEASE: &str = "7.3.4-test";

    /// A directory for one test, with the headers of a kernel.
    struct Place {
        dir: TempDir,
        headers: Headers,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let headers = dir.path().join("headers");
            for name in [
                ".config",
                "Module.symvers",
                "Makefile",
                "arch/Kconfig",
                "rust/lib.rs",
                "scripts/mod",
            ] {
                write(&headers.join(name), name);
            }
            let headers = Headers {
                release: RELEASE.to_owned(),
                dir: headers,
                config: String::new(),
            };
            Self { dir, headers }
        }

        /// Returns the path of the cache, which does not exist yet.
        fn cache(&self) -> PathBuf {
            self.dir.path().join("cache")
        }

        /// Provides the directory in `cache`, with metadata that takes no time to generate.
        fn provide(&self, cache: &Path) -> Result<PathBuf> {
            provide(cache, &self.headers, |work, _| {
                write(&work.join("source/Makefile"), "");
                write(&work.join("libkernel.rmeta"), "");
                write(&work.join("target.json"), "");
                Ok(Metadata {
                    crates: vec![work.join("libkernel.rmeta")],
                    target: Some(work.join("target.json")),
                })
            })
        }
    }

    /// Checks that the kit refuses `cache` with a message that contains `reason`, and that it
    /// changes nothing in `around`.
    fn assert_refused(place: &Place, cache: &Path, around: &Path, reason: &str) {
        let before = tree(around);
        let result = place.provide(cache);
        assert_eq!(tree(around), before);
        let error = format!("{:#}", result.expect_err("the cache is accepted"));
        assert!(error.contains(reason), "{error}");
        assert!(check(cache).is_err(), "--check accepts the cache");
    }

    #[test]
    fn directories_of_others_are_refused() {
        for (like, files) in [
            (
                "home",
                &[".ssh/id_ed25519", "letters/draft", ".profile"][..],
            ),
            (
                "/usr/src",
                &["linux-headers-7.3.4/Makefile", "adler32-0.1.0/Kbuild"],
            ),
            (
                "/lib/modules",
                &["7.3.4-test/kernel/fs/ext4.ko", "6.12.9/modules.dep"],
            ),
            ("/var/tmp", &["a-file"]),
            ("work", &["7.3.4-test.work/my/work"]),
            ("new", &["7.3.4-test.new/my/work"]),
        ] {
            let place = Place::new();
            let cache = place.cache();
            for file in files {
                write(&cache.join(file), like);
            }
            assert_refused(&place, &cache, &cache, "did not make");
        }
    }

    #[test]
    fn a_directory_of_others_in_the_cache_is_kept() {
        let place = Place::new();
        let cache = place.cache();
        place.provide(&cache).unwrap();
        write(&cache.join("keep/me"), "");
        write(&place.headers.dir.join(".config"), "changed");
        assert_refused(&place, &cache, &cache, "keep");
    }

    #[test]
    fn directories_of_the_kit_are_replaced_and_removed() {
        let place = Place::new();
        let cache = place.cache();
        let dir = place.provide(&cache).unwrap();
        assert_eq!(dir, cache.join(RELEASE));
        // Headers that are gone, and what interrupted runs left.
        for name in [
            "7.3.3-none",
            "7.3.3-none.work",
            "7.3.4-test.work",
            "7.3.4-test.new",
        ] {
            directory::make(&cache.join(name)).unwrap();
            write(&cache.join(name).join("rust/core.rmeta"), "");
        }
        owned::make(&cache.join("7.3.2-none.work")).unwrap();
        write(&place.headers.dir.join("Module.symvers"), "changed");
        place.provide(&cache).unwrap();
        let names: Vec<_> = tree(&cache)
            .into_keys()
            .filter(|path| path.parent() == Some(&cache))
            .collect();
        assert_eq!(names, [cache.join(RELEASE), cache.join("lock")]);
        assert_eq!(
            fs::read_to_string(dir.join("Module.symvers")).unwrap(),
            "changed"
        );
    }

    #[test]
    fn what_another_kit_is_making_is_waited_for() {
        let place = Place::new();
        let cache = place.cache();
        place.provide(&cache).unwrap();
        write(&place.headers.dir.join(".config"), "changed");
        let lock = owned::lock(&cache.join(LOCK), "").unwrap();
        let work = cache.join("7.3.3-none.work");
        write(&work.join("rust/core.rmeta"), "not marked yet");
        thread::scope(|scope| {
            let kit = scope.spawn(|| place.provide(&cache));
            sleep(Duration::from_millis(300));
            fs::remove_dir_all(&work).unwrap();
            drop(lock);
            kit.join().unwrap().unwrap();
        });
    }

    #[test]
    fn downloads_are_kept_until_the_metadata_is_made() {
        let place = Place::new();
        let cache = place.cache();
        let failed = provide(&cache, &place.headers, |_, downloads| {
            directory::make(downloads)?;
            write(&downloads.join("source.deb"), "");
            bail!("a program is missing")
        });
        assert!(failed.is_err());
        // The headers of this kernel are gone.
        directory::make(&cache.join("7.3.3-none.downloads")).unwrap();
        provide(&cache, &place.headers, |_, downloads| {
            assert!(downloads.join("source.deb").exists());
            assert!(!cache.join("7.3.3-none.downloads").exists());
            bail!("fails again")
        })
        .unwrap_err();
        place.provide(&cache).unwrap();
        let names: Vec<_> = owned::names(&cache).unwrap();
        assert_eq!(names.len(), 2, "{names:?}");
    }

    #[test]
    fn directories_of_earlier_versions_are_known() {
        let place = Place::new();
        let cache = place.cache();
        let dir = place.provide(&cache).unwrap();
        let unmark = |dir: &Path| {
            let _ = fs::remove_file(dir.join(directory::MARK.name));
        };
        unmark(&dir);
        // The directory is still used ...
        provide(&cache, &place.headers, |_, _| panic!("generated again")).unwrap();
        // ... and replaced or removed when it is stale.
        fs::rename(&dir, cache.join("7.3.3-none")).unwrap();
        place.provide(&cache).unwrap();
        assert!(!cache.join("7.3.3-none").exists());
        unmark(&dir);
        write(&place.headers.dir.join(".config"), "changed");
        place.provide(&cache).unwrap();
        assert!(dir.join(directory::MARK.name).exists());
    }

    #[test]
    fn symbolic_links_are_not_followed() {
        for name in ["lock", "7.3.4-test", "7.3.4-test.work", "7.3.3-none"] {
            let place = Place::new();
            let cache = place.cache();
            let (file, dir) = (place.dir.path().join("file"), place.dir.path().join("dir"));
            write(&file, "keep me");
            write(&dir.join("file"), "keep me");
            owned::make(&cache).unwrap();
            let to = if name == "lock" { &file } else { &dir };
            symlink(to, cache.join(name)).unwrap();
            assert_refused(&place, &cache, place.dir.path(), name);
        }
        // The cache itself.
        let place = Place::new();
        let dir = place.dir.path().join("dir");
        owned::make(&dir).unwrap();
        symlink(&dir, place.cache()).unwrap();
        assert_refused(
            &place,
            &place.cache(),
            place.dir.path(),
            "is a symbolic link",
        );
        // A mark that is a symbolic link.
        let place = Place::new();
        let dir = place.cache().join("7.3.3-none");
        write(&dir.join("keep"), "me");
        symlink("keep", dir.join(directory::MARK.name)).unwrap();
        assert_refused(&place, &place.cache(), place.dir.path(), "7.3.3-none");
    }

    #[test]
    fn a_cache_that_others_can_change_is_refused() {
        for mode in [0o777, 0o1777, 0o775, 0o757] {
            let place = Place::new();
            let cache = place.cache();
            owned::make(&cache).unwrap();
            fs::set_permissions(&cache, Permissions::from_mode(mode)).unwrap();
            assert_refused(&place, &cache, &cache, "others can change");
        }
        // A directory that contains the cache.
        let place = Place::new();
        let cache = place.cache().join("cache");
        owned::make(&cache).unwrap();
        fs::set_permissions(place.cache(), Permissions::from_mode(0o777)).unwrap();
        assert_refused(&place, &cache, &cache, "others can change");
        fs::set_permissions(place.cache(), Permissions::from_mode(0o1777)).unwrap();
        place.provide(&cache).unwrap();
    }

    #[test]
    fn a_cache_of_another_user_is_refused() {
        if !geteuid().is_root() {
            eprintln!("skipped: only root can give a directory to another user");
            return;
        }
        let place = Place::new();
        let cache = place.cache();
        owned::make(&cache).unwrap();
        chown(&cache, Some(65534), None).unwrap();
        assert_refused(&place, &cache, &cache, "others can change");
    }

    #[test]
    fn the_umask_has_no_effect() {
        for mask in [0o000, 0o077] {
            let place = Place::new();
            let cache = place.cache().join("parent/cache");
            umask(Mode::from_bits_truncate(mask));
            let dir = place.provide(&cache).unwrap();
            umask(Mode::from_bits_truncate(0o022));
            for (path, mode) in [
                (place.cache(), 0o755),
                (cache.clone(), 0o755),
                (cache.join("lock"), 0o644),
                (dir.clone(), 0o755),
                (dir.join("Makefile"), 0o644),
                (dir.join("scripts"), 0o755),
                (dir.join("rust"), 0o755),
                (dir.join("rust/rustc.version"), 0o644),
            ] {
                let made = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
                let path = path.display();
                assert_eq!(made, mode, "{path}: {made:o}, umask {mask:o}");
            }
        }
    }
}
