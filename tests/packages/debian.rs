// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Debian systems in directories. Each can be booted in a virtual machine.

use std::fs;
use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
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
const INCLUDED: &str = "ca-certificates,dbus,initramfs-tools,openssl,systemd-sysv,zstd";

/// How many seconds a system may take to boot and to run the checks.
const LIMIT: &str = "900";

/// The last line on the console if every check succeeded.
const ALL_WELL: &str = "all is well";

/// The firmware's settings with the keys that are on most machines, and without keys.
const WITH_KEYS: &str = "/usr/share/OVMF/OVMF_VARS_4M.ms.fd";
const WITHOUT_KEYS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/// How a machine starts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// QEMU starts the kernel.
    None,
    /// UEFI firmware, shim and GRUB start the kernel, without Secure Boot.
    Uefi,
    /// The same with Secure Boot, with the keys that are on most machines.
    SecureBoot,
    /// The same with the key of DKMS, which the owner of the machine has enrolled.
    Enrolled,
}

/// A Debian system: a directory of changes to another system, in an overlay.
pub struct Debian {
    /// Where the overlay is mounted, and `proc`, `sys` and `dev` in it.
    dir: PathBuf,
    /// Where the overlay is mounted without other file systems.
    plain: PathBuf,
}

impl Debian {
    /// Makes a trixie in `dir`, with the package archives of the system that runs this program,
    /// unless an earlier run has made it.
    pub fn bootstrap(dir: &Path) -> Result<()> {
        let made = dir.with_extension("made");
        if made.exists() {
            return Ok(());
        }
        remove(dir)?;
        let lists = [
            "/etc/apt/sources.list",
            "/etc/apt/sources.list.d/backports.list",
        ];
        output(
            Command::new("mmdebstrap")
                .args(["--variant=important", "--quiet"])
                .arg(format!("--include={INCLUDED}"))
                // Packages start no services here.
                .arg("--customize-hook=printf '#!/bin/sh\\nexit 101\\n' > $1/usr/sbin/policy-rc.d")
                .arg("--customize-hook=chmod +x $1/usr/sbin/policy-rc.d")
                .arg("trixie")
                .arg(dir)
                .args(lists),
        )?;
        fs::write(made, "")?;
        Ok(())
    }

    /// Mounts a system in `dir`. Its changes to the `lower` systems, the first of which is the
    /// uppermost, are in `DIR.changes`.
    pub fn mount(dir: &Path, lower: &[&Path]) -> Result<Self> {
        let [changes, work, plain] = ["changes", "work", "plain"].map(|it| dir.with_extension(it));
        for dir in [dir, &changes, &work, &plain] {
            fs::create_dir_all(dir)?;
        }
        let lower: Vec<_> = lower.iter().map(|dir| dir.display().to_string()).collect();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.join(":"),
            changes.display(),
            work.display()
        );
        mount(
            Some("overlay"),
            &plain,
            Some("overlay"),
            MsFlags::empty(),
            Some(options.as_str()),
        )
        .context("cannot mount the overlay")?;
        let debian = Self {
            dir: dir.to_owned(),
            plain,
        };
        let none = None::<&str>;
        mount(Some(&debian.plain), dir, none, MsFlags::MS_BIND, none)
            .context("cannot bind the directory")?;
        debian.mount_in("proc", "proc", MsFlags::empty())?;
        debian.mount_in("sysfs", "sys", MsFlags::empty())?;
        debian.mount_in("/dev", "dev", MsFlags::MS_BIND | MsFlags::MS_REC)?;
        Ok(debian)
    }

    fn mount_in(&self, source: &str, dir: &str, flags: MsFlags) -> Result<()> {
        let none = None::<&str>;
        mount(Some(source), &self.dir.join(dir), Some(source), flags, none)
            .with_context(|| format!("cannot mount {source}"))
    }

    /// Unmounts the system. Its changes stay.
    pub fn unmount(self) -> Result<()> {
        for dir in ["dev", "sys", "proc", ""].map(|dir| self.dir.join(dir)) {
            umount2(&dir, MntFlags::MNT_DETACH)
                .with_context(|| format!("cannot unmount {}", dir.display()))?;
        }
        umount2(&self.plain, MntFlags::MNT_DETACH)?;
        Ok(())
    }

    /// Removes the changes of the system in `dir`, which must not be mounted.
    pub fn remove(dir: &Path) -> Result<()> {
        ["changes", "work", "plain", "made"]
            .iter()
            .map(|extension| dir.with_extension(extension))
            .chain([dir.to_owned()])
            .try_for_each(|dir| remove(&dir))
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

    /// Copies a file out of the system.
    pub fn fetch(&self, file: &str, copy: &Path) -> Result<()> {
        fs::copy(self.dir.join(file), copy).with_context(|| format!("cannot copy {file}"))?;
        Ok(())
    }

    /// Installs packages, given as names or files, and returns what apt prints.
    pub fn install(&self, options: &[&str], packages: &[String]) -> Result<String> {
        let (options, packages) = (options.join(" "), packages.join(" "));
        let printed = self.run(&format!("apt-get --yes {options} install {packages} 2>&1"))?;
        self.is_configured()?;
        Ok(printed)
    }

    /// Checks that dpkg has configured all packages.
    pub fn is_configured(&self) -> Result<()> {
        let audit = self.run("dpkg --audit")?;
        ensure!(audit.is_empty(), "dpkg --audit prints: {audit}");
        Ok(())
    }

    /// Installs the newest kernel that the lab has built in a flavour, as kernels are installed by
    /// those who build them, and returns its release.
    pub fn install_built(&self, flavour: &str) -> Result<String> {
        let script = r#"
            tree=$(ls -d /usr/src/linux-*-"$1" | sort --version-sort | tail -n 1)
            release=${tree#/usr/src/linux-}
            cp -a "$tree" "$2/usr/src"
            cp -a "/usr/lib/modules/$release" "$2/usr/lib/modules"
            cp "$tree/build/.config" "$2/boot/config-$release"
            cp "$tree/build/arch/x86/boot/bzImage" "$2/boot/vmlinuz-$release"
            printf %s "$release""#;
        let mut shell = Command::new("sh");
        shell.args(["-ec", script, "sh", flavour]).arg(&self.dir);
        output(&mut shell)
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

    /// Boots the kernel and a copy of the system, runs `checks` there, and returns what they print.
    /// Each line must succeed.
    pub fn boot(&self, release: &str, firmware: Firmware, checks: &str) -> Result<String> {
        let script =
            format!("#!/bin/sh\nset -ex\nexec > /dev/ttyS0 2>&1\n{checks}\necho {ALL_WELL}\n");
        let file = self.dir.join("root/checks");
        fs::write(&file, script)?;
        fs::set_permissions(&file, Permissions::from_mode(0o755))?;
        let image = self.dir.with_extension("img");
        // Each boot gets a new image, so that its changes are not kept.
        output(
            Command::new("mke2fs")
                .args(["-q", "-F", "-t", "ext4", "-d"])
                .arg(&self.plain)
                .arg(&image)
                .arg("8G"),
        )?;
        let [kernel, initrd] =
            ["vmlinuz", "initrd.img"].map(|file| self.dir.join(format!("boot/{file}-{release}")));
        let words = "root=/dev/vda rw console=ttyS0 quiet panic=-1 systemd.run=/root/checks \
                     systemd.run_success_action=poweroff systemd.run_failure_action=poweroff";
        let mut qemu = Command::new("timeout");
        qemu.args([LIMIT, "qemu-system-x86_64", "-nodefaults", "-no-reboot"])
            .args(["-display", "none", "-serial", "stdio"])
            .args(["-machine", "q35,smm=on", "-cpu", "max", "-smp", "2"])
            .args(["-m", "1G"])
            .arg("-drive")
            .arg(drive(&image, "if=virtio"));
        if firmware == Firmware::None {
            qemu.arg("-kernel")
                .arg(kernel)
                .arg("-initrd")
                .arg(initrd)
                .args(["-append", words]);
        } else {
            let variables = self.variables(firmware)?;
            let code = Path::new("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd");
            qemu.args(["-global", "driver=cfi.pflash01,property=secure,value=on"])
                .arg("-drive")
                .arg(drive(code, "if=pflash,readonly=on"))
                .arg("-drive")
                .arg(drive(&variables, "if=pflash"))
                .arg("-drive")
                .arg(drive(
                    &self.boot_disk(&kernel, &initrd, words)?,
                    "if=virtio",
                ));
        }
        let console = output(&mut qemu)?;
        remove(&image)?;
        ensure!(
            console.lines().any(|line| line.trim_end() == ALL_WELL),
            "a check failed in the system with {release}; its console:\n{console}"
        );
        Ok(console)
    }

    /// Makes the variables of the firmware.
    fn variables(&self, firmware: Firmware) -> Result<PathBuf> {
        let variables = self.dir.with_extension("vars");
        let mut command = Command::new("virt-fw-vars");
        command.arg("--output").arg(&variables);
        command.arg("--input").arg(match firmware {
            Firmware::None | Firmware::Uefi => WITHOUT_KEYS,
            Firmware::SecureBoot | Firmware::Enrolled => WITH_KEYS,
        });
        if firmware == Firmware::Enrolled {
            // What the MOK manager does with the key that mokutil has imported.
            let key = self.dir.with_extension("pem");
            fs::write(
                &key,
                self.run("openssl x509 -inform der -in /var/lib/dkms/mok.pub")?,
            )?;
            let owner = "605dab50-e046-4300-abb6-3dd810dd8b23";
            command.args(["--add-mok", owner]).arg(key);
        }
        output(&mut command)?;
        Ok(variables)
    }

    /// Makes a disk from which UEFI firmware boots Debian's shim, its GRUB and the kernel.
    fn boot_disk(&self, kernel: &Path, initrd: &Path, words: &str) -> Result<PathBuf> {
        let [disk, menu] = ["esp", "cfg"].map(|extension| self.dir.with_extension(extension));
        fs::write(
            &menu,
            format!("linux /vmlinuz {words}\ninitrd /initrd\nboot\n"),
        )?;
        let script = r#"
            truncate --size 128M "$1"
            mformat -i "$1" -F ::
            mmd -i "$1" ::EFI ::EFI/BOOT ::EFI/debian
            mcopy -i "$1" /usr/lib/shim/shimx64.efi.signed ::EFI/BOOT/BOOTX64.EFI
            mcopy -i "$1" /usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed ::EFI/BOOT/grubx64.efi
            mcopy -i "$1" "$2" ::EFI/debian/grub.cfg
            mcopy -i "$1" "$3" ::vmlinuz
            mcopy -i "$1" "$4" ::initrd"#;
        remove(&disk)?;
        output(
            Command::new("sh")
                .args(["-ec", script, "sh"])
                .args([&disk, &menu, kernel, initrd]),
        )?;
        Ok(disk)
    }
}

/// Returns the description of a drive for QEMU.
fn drive(file: &Path, options: &str) -> String {
    format!("file={},format=raw,{options}", file.display())
}

/// Removes a file or a directory if it exists.
pub fn remove(path: &Path) -> Result<()> {
    let removed = match path.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
