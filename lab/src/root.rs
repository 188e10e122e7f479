// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The root: a Debian trixie system with the kernel's toolchain, QEMU and the guest's user space.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::time::SystemTime;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use nix::mount::MsFlags;
use rust_kernel_kit::command;
use rust_kernel_kit::owned;
use rust_kernel_kit::owned::Lock;

use crate::cache::Cache;
use crate::cache::NEW_ROOT;
use crate::cache::ROOT;
use crate::host;
use crate::job::PATH;
use crate::sandbox;
use crate::sandbox::Caller;

const SUITE: &str = "trixie";
const BACKPORTS: &str = "trixie-backports";
const APT_LINES: &str = "etc/apt/sources.list";

/// The packages in every root.
const PACKAGES: &[&str] = &[
    // The toolchain for kernels and modules, and for 32-bit test programs.
    "bc",
    "bindgen",
    "bison",
    "cpio",
    "flex",
    "gcc",
    "gcc-multilib",
    "kmod",
    "libelf-dev",
    "libssl-dev",
    "make",
    "pahole",
    "python3",
    "rust-clippy",
    "rust-src",
    "rustc",
    "rustfmt",
    "xz-utils",
    // The virtual machine.
    "qemu-system-x86",
    "virtiofsd",
    // The guest's user space.
    "ca-certificates",
    "cryptsetup-bin",
    "iproute2",
    "kcapi-tools",
    "procps",
    "udev",
];

/// An empty directory in the root, where the guest finds its init and its job.
pub const GUEST_DIR: &str = "lab";
/// The directory in the root with a stamp for each completed step.
pub const STAMPS: &str = "var/lib/lab";
/// How long a package index is considered fresh.
const FRESH: Duration = Duration::from_secs(3600);

/// The root, in which /proc, /dev and the like are mounted.
pub struct Root {
    dir: PathBuf,
}

impl Root {
    /// Makes the root if needed, and mounts the file systems that programs expect.
    pub fn open(cache: &Cache) -> Result<Self> {
        let dir = cache.join(ROOT);
        if !dir.exists() {
            let _lock = cache.lock()?;
            if !dir.exists() {
                create(&dir, &cache.join(NEW_ROOT))?;
            }
        }
        let root = Self { dir };
        root.mount_system()?;
        if !root.join(STAMPS).join("index").exists() {
            root.refresh_stale_index(&cache.lock()?)?;
        }
        root.ensure_packages(cache, PACKAGES)?;
        Ok(root)
    }

    fn mount_system(&self) -> Result<()> {
        sandbox::mount_new("proc", &self.join("proc"), "")?;
        sandbox::bind(Path::new("/sys"), &self.join("sys"), MsFlags::MS_REC)?;
        sandbox::bind(Path::new("/dev"), &self.join("dev"), MsFlags::MS_REC)?;
        sandbox::mount_new("tmpfs", &self.join("run"), "mode=755")?;
        sandbox::mount_new("tmpfs", &self.join("tmp"), "mode=1777")?;
        let resolver = Path::new("/etc/resolv.conf");
        if resolver.exists() {
            sandbox::bind(resolver, &self.join("etc/resolv.conf"), MsFlags::empty())?;
        }
        Ok(())
    }

    /// Returns the path on the host of the relative path `path` in the root.
    pub fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.dir.join(path)
    }

    /// Returns a command that runs in the root, in the directory `dir` there, as `caller` or root,
    /// with a clean environment.
    pub fn command_in(&self, dir: &Path, program: &str, caller: Option<Caller>) -> Result<Command> {
        let mut command = Command::new(program);
        command.env_clear().envs([
            ("PATH", PATH),
            ("HOME", "/root"),
            ("LANG", "C.UTF-8"),
            ("DEBIAN_FRONTEND", "noninteractive"),
        ]);
        for name in ["TERM", "http_proxy", "https_proxy", "no_proxy"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        sandbox::confine(&mut command, &self.dir, dir, caller)?;
        Ok(command)
    }

    /// Returns a command that runs in the root as root.
    pub fn command(&self, program: &str) -> Result<Command> {
        self.command_in(Path::new("/"), program, None)
    }

    /// Makes the host's directory `dir` visible in the root at the same path.
    pub fn show(&self, dir: &Path) -> Result<()> {
        if hides_system(dir) {
            bail!(
                "{} cannot be shown in the root, which has its own: work in a subdirectory",
                dir.display()
            );
        }
        let shown = self.join(dir.strip_prefix("/")?);
        fs::create_dir_all(&shown)?;
        sandbox::bind(dir, &shown, MsFlags::MS_REC)
    }

    /// Waits until no other lab prepares the kernel `release`. Keeps others from it until the
    /// returned lock is dropped.
    pub fn lock(&self, release: &str) -> Result<Lock> {
        let locks = self.join(STAMPS).join("locks");
        owned::make(&locks)?;
        let waiting = format!("waiting for another lab that prepares {release}");
        owned::lock(&locks.join(release), &waiting)
    }

    /// Downloads the package index again, unless it is fresh. `lock` is the cache's lock.
    pub fn refresh_stale_index(&self, lock: &Lock) -> Result<()> {
        let age = fs::metadata(self.join(STAMPS).join("index"))
            .and_then(|stamp| stamp.modified())
            .ok()
            .and_then(|time| SystemTime::now().duration_since(time).ok());
        if age.is_some_and(|age| age < FRESH) {
            return Ok(());
        }
        self.refresh_index(lock)
    }

    /// Downloads the package index again. `lock` is the cache's lock: apt fails if another lab
    /// downloads the index at the same time.
    pub fn refresh_index(&self, _lock: &Lock) -> Result<()> {
        command::step(
            "download the package index",
            self.command("apt-get")?.arg("update"),
        )?;
        self.write_stamp("index", "")
    }

    /// Installs those of `packages` that are missing.
    pub fn ensure_packages(&self, cache: &Cache, packages: &[&str]) -> Result<()> {
        if self.missing(packages)?.is_empty() {
            return Ok(());
        }
        let lock = cache.lock()?;
        let missing = self.missing(packages)?;
        if missing.is_empty() {
            return Ok(());
        }
        self.refresh_stale_index(&lock)?;
        self.install(&format!("install {}", missing.join(" ")), &missing, &lock)
    }

    /// Installs `packages`, also after an interrupted run. `_lock` is the cache's lock.
    pub fn install(&self, what: &str, packages: &[&str], _lock: &Lock) -> Result<()> {
        command::output(self.command("dpkg")?.args(["--configure", "-a"]))
            .context("if this repeats, run `lab clean` and start again")?;
        command::step(
            what,
            self.command("apt-get")?
                .args(["-o", "Dpkg::Options::=--force-unsafe-io"])
                .args(["install", "--yes", "--no-install-recommends"])
                .args(packages),
        )
    }

    fn missing<'a>(&self, packages: &[&'a str]) -> Result<Vec<&'a str>> {
        let mut query = self.command("dpkg-query")?;
        query.args(["--show", "--showformat", "${Package} ${db:Status-Status}\n"]);
        let list = command::output(&mut query)?;
        Ok(packages
            .iter()
            .filter(|package| {
                !list
                    .lines()
                    .any(|line| line == format!("{package} installed"))
            })
            .copied()
            .collect())
    }

    /// Returns the text of the stamp `name` if the step is complete.
    pub fn stamp(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.join(STAMPS).join(name)).ok()
    }

    /// Writes the stamp `name`, which shows that a step is complete.
    pub fn write_stamp(&self, name: &str, text: &str) -> Result<()> {
        let stamp = self.join(STAMPS).join(name);
        // Not in the directory of the stamp, which other labs list.
        let new = self.join(STAMPS).join(new_stamp(name));
        fs::create_dir_all(stamp.parent().unwrap_or(&stamp))?;
        fs::write(&new, text)?;
        fs::rename(&new, &stamp).with_context(|| format!("cannot write {}", stamp.display()))
    }
}

/// Returns the name of the stamp `name` while it is written: another one for each stamp.
fn new_stamp(name: &str) -> String {
    format!("{}.new", name.replace('/', "-"))
}

/// Returns whether showing `dir` in the root would hide files that the root needs.
fn hides_system(dir: &Path) -> bool {
    const SYSTEM: [&str; 11] = [
        "/", "/usr", "/etc", "/var", "/bin", "/sbin", "/lib", "/lib64", "/boot", "/run", "/tmp",
    ];
    SYSTEM.iter().any(|system| dir == Path::new(system))
        || ["/proc", "/sys", "/dev"]
            .iter()
            .any(|system| dir.starts_with(system))
}

/// Makes the root in `new`, then renames it to `dir`.
fn create(dir: &Path, new: &Path) -> Result<()> {
    host::ensure_packages()?;
    owned::remove(new)?;
    command::step(
        &format!("make a Debian {SUITE} root with the toolchain"),
        Command::new("mmdebstrap")
            .arg("--variant=apt")
            .arg(format!("--include={}", PACKAGES.join(",")))
            .arg(SUITE)
            .arg(new)
            .args(host::apt_lines(SUITE)?),
    )?;
    let lines = fs::read_to_string(new.join(APT_LINES))
        .with_context(|| format!("mmdebstrap wrote no {APT_LINES}"))?;
    let backports = backports(&lines)
        .with_context(|| format!("{APT_LINES} in the new root names no {SUITE} archive"))?;
    fs::write(new.join("etc/apt/sources.list.d/backports.list"), backports)?;
    // Keep packages that are installed later from starting services in the root.
    let policy = new.join("usr/sbin/policy-rc.d");
    fs::write(&policy, "#!/bin/sh\nexit 101\n")?;
    fs::set_permissions(&policy, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    fs::create_dir_all(new.join(GUEST_DIR))?;
    fs::rename(new, dir)?;
    Ok(())
}

/// Returns apt's line for the backports, made from the `lines` that mmdebstrap wrote.
fn backports(lines: &str) -> Option<String> {
    let line = lines.lines().find(|line| {
        line.starts_with("deb ") && line.split_whitespace().any(|word| word == SUITE)
    })?;
    let words: Vec<_> = line
        .split_whitespace()
        .map(|word| if word == SUITE { BACKPORTS } else { word })
        .collect();
    Some(words.join(" ") + "\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn backports_come_from_the_same_mirror() {
        let lines = "deb [signed-by=/k.gpg] http://mirror/debian trixie main\n\
                       deb http://security/debian-security trixie-security main\n";
        assert_eq!(
            backports(lines).as_deref(),
            Some("deb [signed-by=/k.gpg] http://mirror/debian trixie-backports main\n")
        );
        assert_eq!(backports("deb http://mirror/debian sid main\n"), None);
    }

    #[test]
    fn stamps_that_are_written_at_the_same_time_differ() {
        let names = [
            "kernels/7.3.4+deb13-amd64",
            "kernels/7.3.4+deb13-arm64",
            "flavours/7.3.4-uml",
            "flavours/7.3.4-uml-debug",
            "index",
        ];
        let written: BTreeSet<_> = names.into_iter().map(new_stamp).collect();
        assert_eq!(written.len(), names.len(), "{written:?}");
    }

    #[test]
    fn the_system_stays_visible() {
        for dir in ["/", "/usr", "/tmp", "/proc/1", "/dev"] {
            assert!(hides_system(Path::new(dir)), "{dir}");
        }
        for dir in ["/root", "/home/me/module", "/usr/src/module", "/tmp/module"] {
            assert!(!hides_system(Path::new(dir)), "{dir}");
        }
    }
}
