// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A Debian system in a directory.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use adler32_tests::output;
use anyhow::bail;
use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use nix::mount::mount;
use nix::mount::umount2;
use nix::mount::MntFlags;
use nix::mount::MsFlags;

/// Packages besides those that Debian calls important.
const INCLUDED: &str = "ca-certificates,dbus,initramfs-tools,systemd-sysv";

/// How many seconds a system may take to boot and to run the checks.
const LIMIT: &str = "900";

/// The last line on the console if every check succeeded.
const ALL_WELL: &str = "all is well";

/// A Debian system.
pub struct Debian {
    dir: PathBuf,
    /// The same directory without the file systems that are mounted in it.
    plain: PathBuf,
}

impl Debian {
    /// Makes a trixie in `dir`, with the package archives of the system that runs this program.
    pub fn new(dir: PathBuf) -> Result<Self> {
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        }
        let lists = [
            "/etc/apt/sources.list",
            "/etc/apt/sources.list.d/backports.list",
        ];
        output(
            Command::new("mmdebstrap")
                .args(["--variant=important", "--quiet"])
                .arg(format!("--include={INCLUDED}"))
                .arg("trixie")
                .arg(&dir)
                .args(lists),
        )?;
        let plain = dir.with_extension("plain");
        fs::create_dir_all(&plain)?;
        let debian = Self { dir, plain };
        mount(
            Some(&debian.dir),
            &debian.plain,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
        .context("cannot bind the directory")?;
        debian.mount("proc", "proc", MsFlags::empty())?;
        debian.mount("sysfs", "sys", MsFlags::empty())?;
        debian.mount("/dev", "dev", MsFlags::MS_BIND | MsFlags::MS_REC)?;
        // Packages start no services here.
        debian.run("printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d; apt-get update")?;
        Ok(debian)
    }

    fn mount(&self, source: &str, dir: &str, flags: MsFlags) -> Result<()> {
        let none = None::<&str>;
        mount(Some(source), &self.dir.join(dir), Some(source), flags, none)
            .with_context(|| format!("cannot mount {source}"))
    }

    /// Removes the system.
    pub fn remove(self) -> Result<()> {
        // First, so that nothing in the mounted file systems is removed.
        let mounted = ["dev", "sys", "proc"].map(|dir| self.dir.join(dir));
        for dir in mounted.iter().chain([&self.plain]) {
            umount2(dir, MntFlags::MNT_DETACH)
                .with_context(|| format!("cannot unmount {}", dir.display()))?;
        }
        for dir in [&self.dir, &self.plain] {
            fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        }
        Ok(())
    }

    /// Runs a script in the system as root, and returns what the script prints.
    pub fn run(&self, script: &str) -> Result<String> {
        output(
            Command::new("chroot")
                .arg(&self.dir)
                .args(["sh", "-ec", script])
                .env_clear()
                .env("DEBIAN_FRONTEND", "noninteractive")
                .env("HOME", "/root")
                .env("PATH", "/usr/sbin:/usr/bin"),
        )
    }

    /// Returns the releases of the newest stock kernel 7.2 and of the newest later kernel.
    pub fn kernels(&self) -> Result<[String; 2]> {
        let names = self.run(
            "apt-cache search --names-only '^linux-image-7[.][0-9.]+[+]deb13-amd64$' | sort --version-sort",
        )?;
        let releases: Vec<_> = names
            .lines()
            .filter_map(|line| line.split(' ').next()?.strip_prefix("linux-image-"))
            .collect();
        let old = releases.iter().rfind(|release| release.starts_with("7.2."));
        let new = releases
            .iter()
            .rfind(|release| !release.starts_with("7.2."));
        match (old, new) {
            (Some(old), Some(new)) => Ok([old, new].map(|release| (*release).to_owned())),
            _ => bail!("the package archive contains no kernel 7.2, or no later kernel: {names}"),
        }
    }

    /// Copies packages into the system and returns their paths there.
    pub fn copy(&self, packages: &[PathBuf]) -> Result<Vec<String>> {
        let mut copies = Vec::new();
        for package in packages {
            let name = package.file_name().context("a package without a name")?;
            let path = Path::new("tmp").join(name);
            fs::copy(package, self.dir.join(&path))
                .with_context(|| format!("cannot copy {}", package.display()))?;
            copies.push(format!("/{}", path.display()));
        }
        Ok(copies)
    }

    /// Installs packages, given as names or files, and returns what apt prints.
    pub fn install(&self, options: &[&str], packages: &[String]) -> Result<String> {
        let (options, packages) = (options.join(" "), packages.join(" "));
        self.run(&format!("apt-get --yes {options} install {packages} 2>&1"))
    }

    /// Checks that DKMS has installed the module for a kernel.
    pub fn has_module(&self, release: &str) -> Result<()> {
        let status = self.run("dkms status")?;
        let found = status.lines().any(|line| {
            line.starts_with("adler32/")
                && line.contains(&format!(", {release}, "))
                && line.ends_with(": installed")
        });
        ensure!(
            found,
            "DKMS has not installed the module for {release}: {status}"
        );
        Ok(())
    }

    /// Boots the kernel and a copy of the system, and runs `checks` there. Each line must succeed.
    pub fn boot(&self, release: &str, checks: &str) -> Result<()> {
        let script = format!("set -ex\nexec > /dev/ttyS0 2>&1\n{checks}\necho {ALL_WELL}\n");
        fs::write(self.dir.join("root/checks"), script)?;
        let image = self.dir.with_extension("img");
        // Each boot gets a new image, so that its changes are not kept.
        output(
            Command::new("mke2fs")
                .args(["-q", "-F", "-t", "ext4", "-d"])
                .arg(&self.plain)
                .arg(&image)
                .arg("8G"),
        )?;
        let boot = self.dir.join("boot");
        let console = output(
            Command::new("timeout")
                .args([LIMIT, "qemu-system-x86_64", "-nodefaults", "-no-reboot"])
                .args(["-display", "none", "-serial", "stdio"])
                .args(["-machine", "q35", "-cpu", "max", "-smp", "2", "-m", "1G"])
                .arg("-kernel")
                .arg(boot.join(format!("vmlinuz-{release}")))
                .arg("-initrd")
                .arg(boot.join(format!("initrd.img-{release}")))
                .arg("-append")
                .arg(
                    "root=/dev/vda rw console=ttyS0 quiet panic=-1 \
                     systemd.run='sh /root/checks' systemd.run_success_action=poweroff \
                     systemd.run_failure_action=poweroff",
                )
                .arg("-drive")
                .arg(format!("file={},format=raw,if=virtio", image.display())),
        )?;
        fs::remove_file(image)?;
        ensure!(
            console.lines().any(|line| line.trim_end() == ALL_WELL),
            "a check failed in the system with {release}; its console:\n{console}"
        );
        Ok(())
    }
}
