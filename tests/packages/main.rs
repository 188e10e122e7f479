// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Does with the Debian packages what their users do: installs the packages on a clean trixie with
//! a stock kernel, boots the system, also under Secure Boot, upgrades the kernel, boots again, and
//! purges the packages.
//!
//! Runs as root in the lab's root and uses the package archives of that root. Packages are
//! installed in a chroot, because building a module takes too long on an emulated processor. QEMU
//! then boots the installed system with its own initial RAM disk and systemd.
//!
//! Systems are kept from one run to the next: a trixie, the same with a stock kernel, and the same
//! with the packages. The parts of the test change overlays of them.

mod debian;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::process::ExitCode;
use std::time::Instant;

use adler32_tests::output;
use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use clap::Parser;
use clap::ValueEnum;

use debian::Debian;
use debian::Firmware;

/// Install, boot, upgrade and purge the packages.
#[derive(Parser)]
struct Arguments {
    /// The package files
    #[arg(required = true)]
    packages: Vec<PathBuf>,
    /// The directory for the systems, which are kept for the next run
    #[arg(long)]
    directory: PathBuf,
    /// Run only this part
    #[arg(long)]
    part: Option<Part>,
}

/// A part of the test. Each part can run alone.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Install the packages, boot, and purge the packages
    Quick,
    /// Boot with and without Secure Boot, with all kinds of signatures
    SecureBoot,
    /// Upgrade the kernel
    Upgrade,
    /// Boot a kernel for which the module cannot be built
    Declined,
}

/// What a user checks after the system has booted. Each line must succeed.
const CHECKS: &str = r#"
udevadm settle
test "$(stat -c '%a %t' /dev/adler32)" = "666 a"
test -z "$(systemctl list-units --failed --plain --no-legend)"
udevadm info --query=property /dev/adler32 | grep -q '^TAGS=.*:systemd:'
printf Wikipedia > /tmp/word
test "$(runuser -u nobody -- adler32sum /tmp/word)" = "11e60398  /tmp/word"
test "$(runuser -u nobody -- adler32 sum --via device /tmp/word)" = "11e60398  /tmp/word"
runuser -u nobody -- adler32 info
test "$(modinfo -F version adler32)" = "$(dpkg-query --show --showformat '${Version}' adler32-dkms)"
test "adler32 $(modinfo -F version adler32)" = "$(adler32 --version)"
"#;

/// Prints a row of the table of Secure Boot: what modprobe and `adler32 info` print.
const ROW: &str = r#"
test -z "$(systemctl list-units --failed --plain --no-legend)"
info() { runuser -u nobody -- adler32 info; }
row() {
    set +x
    loads=$(modprobe adler32 2>&1) && loads=loads || loads="refused:${loads##*:}"
    echo "ROW $1 | $loads | $(info | sed -n 's/^module  *//p')"
    set -x
}
"#;

/// Without Secure Boot, the module that DKMS has signed loads, and so does an unsigned one.
const NO_SECURE_BOOT: &str = r#"
test -c /dev/adler32
row 'no Secure Boot, signed by DKMS'
info | grep -q '^module  *loaded'
modprobe -r adler32
cd /lib/modules/$(uname -r)/updates/dkms
unxz adler32.ko.xz
strip --strip-debug adler32.ko
depmod
row 'no Secure Boot, not signed'
info | grep -q '^module  *loaded'
"#;

/// Under Secure Boot, the kernel refuses all modules except those with an enrolled key.
const NOT_ENROLLED: &str = r#"
grep -q '\[integrity\]' /sys/kernel/security/lockdown
test ! -e /dev/adler32
cd /lib/modules/$(uname -r)/updates/dkms
row 'Secure Boot, key of DKMS not enrolled (.ko.xz)'
info | grep -q '^module  *not enrolled'
info | grep -q 'mokutil --import /var/lib/dkms/mok.pub'
unxz adler32.ko.xz
zstd -q --rm adler32.ko
depmod
row 'Secure Boot, key of DKMS not enrolled (.ko.zst)'
info | grep -q '^module  *not enrolled'
zstd -q -d --rm adler32.ko.zst
depmod
row 'Secure Boot, key of DKMS not enrolled (.ko)'
info | grep -q '^module  *not enrolled'
strip --strip-debug adler32.ko
depmod
row 'Secure Boot, not signed (.ko)'
info | grep -q '^module  *not signed'
xz adler32.ko
depmod
row 'Secure Boot, not signed (.ko.xz)'
info | grep -q '^module  *not signed'
test "$(printf Wikipedia | adler32sum)" = "11e60398  -"
"#;

/// Under Secure Boot with an enrolled key, everything works.
const ENROLLED: &str = r#"
grep -q '\[integrity\]' /sys/kernel/security/lockdown
row 'Secure Boot, key of DKMS enrolled'
"#;

/// A kernel that is too old.
const DECLINED: &str = r#"
test -z "$(systemctl list-units --failed --plain --no-legend)"
test -z "$(journalctl --boot --grep=adler32 --priority=warning --quiet)"
runuser -u nobody -- adler32 info > /tmp/info && exit 1
grep -q '^module  *not supported.*older than 7[.]2' /tmp/info
test "$(printf Wikipedia | adler32sum)" = "11e60398  -"
"#;

const BACKPORTS: &[&str] = &["--target-release=trixie-backports"];

/// Runs the steps of the test, each of which needs the steps before it, and counts them.
struct Steps {
    passed: u32,
}

impl Steps {
    /// Runs a step and prints its result and its time.
    fn run<T>(&mut self, name: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let result = step();
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        println!(
            "test packages::{name} ... {verdict} ({} s)",
            start.elapsed().as_secs()
        );
        self.passed += u32::from(result.is_ok());
        result
    }
}

/// The systems that are kept, and the packages.
struct Systems {
    directory: PathBuf,
    packages: Vec<PathBuf>,
}

impl Systems {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Mounts a system, over the changes of others, of which the first one is the uppermost.
    fn mount(&self, name: &str, lower: &[&str]) -> Result<Debian> {
        let mut lower: Vec<_> = lower
            .iter()
            .map(|name| self.path(name).with_extension("changes"))
            .collect();
        lower.push(self.path("trixie"));
        let lower: Vec<_> = lower.iter().map(PathBuf::as_path).collect();
        Debian::mount(&self.path(name), &lower)
    }

    /// Makes a system unless an earlier run has made it for the same `key`.
    fn make(
        &self,
        name: &str,
        lower: &[&str],
        key: &str,
        make: impl FnOnce(&Debian) -> Result<()>,
    ) -> Result<()> {
        let made = self.path(name).with_extension("made");
        if fs::read_to_string(&made).is_ok_and(|made| made == key) {
            return Ok(());
        }
        Debian::remove(&self.path(name))?;
        let debian = self.mount(name, lower)?;
        make(&debian)?;
        debian.unmount()?;
        fs::write(made, key)?;
        Ok(())
    }

    /// Makes the trixie and installs the older of two kernels. Returns the releases of both.
    fn install_kernel(&self) -> Result<[String; 2]> {
        Debian::bootstrap(&self.path("trixie"))?;
        let file = self.path("kernel.releases");
        // An archive that offers other kernels may no longer offer the sources of the old ones.
        let offered = output(Command::new("apt-cache").args(["madison", "linux-image-amd64"]))?;
        self.make("kernel", &[], &offered, |debian| {
            debian::remove(&self.path("packages.made"))?;
            debian.run("apt-get update")?;
            let [old, new] = debian.kernels()?;
            debian.install(BACKPORTS, &kernel_packages(&old))?;
            fs::write(&file, format!("{old} {new}"))?;
            Ok(())
        })?;
        let releases = fs::read_to_string(file)?;
        let (old, new) = releases.split_once(' ').context("two releases")?;
        Ok([old, new].map(str::to_owned))
    }

    /// Installs the packages in the system with the kernel.
    fn install_packages(&self, release: &str) -> Result<()> {
        let sums = output(Command::new("sha256sum").args(&self.packages))?;
        self.make("packages", &["kernel"], &sums, |debian| {
            let files = debian.copy(&self.packages)?;
            debian.install(&[], &files)?;
            debian.has_module(release)
        })
    }

    /// Lets `test` change the system with the packages. The changes are removed.
    fn with_packages(&self, test: impl FnOnce(&Debian) -> Result<()>) -> Result<()> {
        Debian::remove(&self.path("test"))?;
        let debian = self.mount("test", &["packages", "kernel"])?;
        let result = test(&debian);
        debian.unmount()?;
        Debian::remove(&self.path("test"))?;
        result
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let systems = Systems {
        directory: arguments.directory,
        packages: arguments.packages,
    };
    let mut steps = Steps { passed: 0 };
    let result = run(&systems, arguments.part, &mut steps);
    if let Err(error) = &result {
        println!("{error:#}");
    }
    let (verdict, failed) = match result {
        Ok(()) => ("ok", 0),
        Err(_) => ("FAILED", 1),
    };
    println!(
        "test result: {verdict}. {} passed; {failed} failed; 0 ignored",
        steps.passed
    );
    ExitCode::from(failed)
}

/// Runs one part, or all.
fn run(systems: &Systems, only: Option<Part>, steps: &mut Steps) -> Result<()> {
    let wanted = |part| only.is_none_or(|only| only == part);
    fs::create_dir_all(&systems.directory)?;
    let [old, new] = steps.run("kernel_is_installed", || systems.install_kernel())?;
    steps.run("packages_are_installed", || systems.install_packages(&old))?;
    if wanted(Part::Quick) {
        steps.run("system_boots", || {
            systems.with_packages(|debian| debian.boot(&old, Firmware::None, CHECKS).map(drop))
        })?;
        steps.run("purge_leaves_nothing", || {
            systems.with_packages(purge_leaves_nothing)
        })?;
    }
    if wanted(Part::SecureBoot) {
        systems.with_packages(|debian| secure_boot(debian, &old, steps))?;
    }
    if wanted(Part::Upgrade) {
        systems.with_packages(|debian| upgrade(debian, &new, steps))?;
    }
    if wanted(Part::Declined) {
        systems.with_packages(|debian| declined(debian, steps))?;
    }
    Ok(())
}

fn purge_leaves_nothing(debian: &Debian) -> Result<()> {
    debian.run("apt-get --yes purge 'adler32-*'; rm /tmp/*.deb")?;
    let left = debian.run("find / -xdev -name '*adler32*' -o -xdev -name 'rust-kernel-kit*'")?;
    ensure!(left.is_empty(), "these files are left:\n{left}");
    Ok(())
}

/// Boots with and without Secure Boot, and prints what the user sees.
fn secure_boot(debian: &Debian, release: &str, steps: &mut Steps) -> Result<()> {
    let mut table = String::from("| module | modprobe | adler32 info |\n|---|---|---|\n");
    for (name, firmware, checks) in [
        ("no_secure_boot", Firmware::Uefi, NO_SECURE_BOOT),
        ("key_is_not_enrolled", Firmware::SecureBoot, NOT_ENROLLED),
        ("key_is_enrolled", Firmware::Enrolled, ENROLLED),
    ] {
        let checks = match firmware {
            Firmware::Enrolled => format!("{ROW}{checks}{CHECKS}"),
            _ => format!("{ROW}{checks}"),
        };
        let console = steps.run(name, || debian.boot(release, firmware, &checks))?;
        for row in console.lines().filter_map(|line| line.strip_prefix("ROW ")) {
            table += &format!("| {} |\n", row.trim_end());
        }
    }
    print!("{table}");
    Ok(())
}

fn upgrade(debian: &Debian, new: &str, steps: &mut Steps) -> Result<()> {
    steps.run("kernel_is_upgraded", || {
        debian.install(BACKPORTS, &kernel_packages(new))?;
        debian.has_module(new)
    })?;
    steps.run("upgraded_system_boots", || {
        debian.boot(new, Firmware::None, CHECKS).map(drop)
    })?;
    steps.run("what_is_missing_is_named", || {
        let printed = debian.run(&format!(
            "mv /usr/bin/bindgen /usr/bin/bindgen.away
             rust-kernel-kit --check --cache /tmp/kit {new} 2>&1 || true
             mv /usr/bin/bindgen.away /usr/bin/bindgen"
        ))?;
        ensure!(
            printed.contains("apt install bindgen"),
            "it prints: {printed}"
        );
        Ok(())
    })?;
    steps.run("cache_with_other_files_is_refused", || {
        let printed = debian.run(&format!(
            "mkdir -p /tmp/kit/keep
             echo me > /tmp/kit/keep/me
             rust-kernel-kit --cache /tmp/kit {new} 2>&1 || true
             rm /tmp/kit/keep/me
             rmdir /tmp/kit/keep /tmp/kit"
        ))?;
        ensure!(printed.contains("contains keep"), "it prints: {printed}");
        Ok(())
    })
}

/// Installs and boots the kernel of trixie itself, without backports. No module is built for it.
fn declined(debian: &Debian, steps: &mut Steps) -> Result<()> {
    let release = steps.run("older_kernel_is_declined", || {
        let before = debian.run("dkms status adler32")?;
        let packages = ["image", "headers"].map(|part| format!("linux-{part}-amd64/trixie"));
        let printed = debian.install(&[], &packages)?;
        ensure!(!printed.contains("Error!"), "it prints: {printed}");
        let status = debian.run("dkms status adler32")?;
        ensure!(status == before, "dkms prints: {status}");
        debian.run("ls /boot | sed -n 's/^vmlinuz-//p' | grep '^6[.]'")
    })?;
    steps.run("declined_system_boots", || {
        debian
            .boot(release.trim_end(), Firmware::None, DECLINED)
            .map(drop)
    })
}

fn kernel_packages(release: &str) -> [String; 2] {
    ["image", "headers"].map(|part| format!("linux-{part}-{release}"))
}
