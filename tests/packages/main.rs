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
    /// Upgrade the kernel where the module cannot be built, and try again
    Faults,
    /// Install the packages with metadata that was generated elsewhere
    Metadata,
    /// Install kernels of several flavours side by side, in one run of apt
    Flavours,
    /// Boot kernels for which the module cannot be built
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

/// A system without the module for its kernel, until the timer builds the module. A system that
/// boots with `systemd.run` does not start its timers.
const BUILT_AFTER_BOOT: &str = r#"
test ! -e /dev/adler32
runuser -u nobody -- adler32 info > /tmp/info && exit 1
grep -q 'dkms install adler32/' /tmp/info
systemctl start timers.target
timeout 720 sh -c 'until test -e /dev/adler32; do sleep 5; done'
systemctl start adler32-build.service
"#;

/// Holds the locks of apt and dpkg.
const HOLD_LOCKS: &str = "import fcntl, time
files = [open(file, \"w\") for file in (
    \"/var/lib/apt/lists/lock\", \"/var/cache/apt/archives/lock\",
    \"/var/lib/dpkg/lock\", \"/var/lib/dpkg/lock-frontend\")]
for file in files: fcntl.lockf(file, fcntl.LOCK_EX)
time.sleep(600)";

/// A kernel for which the module cannot be built, for the reason in `$reason`.
const DECLINED: &str = r#"
systemctl start adler32-build.service
test -z "$(systemctl list-units --failed --plain --no-legend)"
test -z "$(journalctl --boot --grep=adler32 --priority=warning --quiet)"
runuser -u nobody -- adler32 info > /tmp/info && exit 1
grep -q "^module  *not supported: kernel $(uname -r) is $reason\$" /tmp/info
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
        self.with(&["packages", "kernel"], test)
    }

    /// Lets `test` change a system, which consists of the changes of others. The changes of `test`
    /// are removed.
    fn with(&self, lower: &[&str], test: impl FnOnce(&Debian) -> Result<()>) -> Result<()> {
        Debian::remove(&self.path("test"))?;
        let debian = self.mount("test", lower)?;
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
    fs::create_dir_all(&systems.directory)?;
    let [old, new] = steps.run("kernel_is_installed", || systems.install_kernel())?;
    steps.run("packages_are_installed", || systems.install_packages(&old))?;
    for part in Part::value_variants() {
        if only.is_some_and(|only| only != *part) {
            continue;
        }
        let start = Instant::now();
        match part {
            Part::Quick => quick(systems, &old, steps)?,
            Part::SecureBoot => systems.with_packages(|debian| secure_boot(debian, &old, steps))?,
            Part::Upgrade => systems.with_packages(|debian| upgrade(debian, &new, steps))?,
            Part::Faults => systems.with_packages(|debian| faults(debian, &old, &new, steps))?,
            Part::Metadata => metadata(systems, &old, steps)?,
            Part::Flavours => systems.with_packages(|debian| flavours(debian, &new, steps))?,
            Part::Declined => systems.with_packages(|debian| declined(debian, steps))?,
        }
        let name = part.to_possible_value().context("a part without a name")?;
        let seconds = start.elapsed().as_secs();
        println!("part {}: {seconds} s", name.get_name());
    }
    Ok(())
}

fn quick(systems: &Systems, release: &str, steps: &mut Steps) -> Result<()> {
    steps.run("system_boots", || {
        systems.with_packages(|debian| debian.boot(release, Firmware::None, CHECKS).map(drop))
    })?;
    steps.run("purge_leaves_nothing", || {
        systems.with_packages(purge_leaves_nothing)
    })
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

/// Makes the build for a new kernel fail in several ways. Each time, all packages must be
/// configured in the end, the old kernel must have its module, and the cause and the commands that
/// try again must be printed.
fn faults(debian: &Debian, old: &str, new: &str, steps: &mut Steps) -> Result<()> {
    let retry = format!("rust-kernel-kit {new} && dkms install adler32/");
    let is_in_order = || {
        debian.is_configured()?;
        debian.has_module(old)
    };
    let survives = |printed: String, cause: &str| {
        ensure!(
            printed.contains(cause) && printed.contains(&retry),
            "it prints: {printed}"
        );
        ensure!(debian.has_module(new).is_err(), "the module is built");
        is_in_order()
    };
    let apt = format!("apt-get --yes {}", BACKPORTS.join(" "));
    let packages = kernel_packages(new).join(" ");
    // What the packages of a kernel run, and what adler32-build.service runs.
    let hooks = format!("linux-run-hooks headers postinst {new} -- configure 2>&1");
    let service = format!("/usr/share/kernel/postinst.d/adler32-dkms {new} 2>&1");
    // The programs that the kit has started. The pattern does not match its own command line.
    let work = format!("rust-kernel-kit/[7]{}.work", new[1..].replace('+', "."));

    steps.run("upgrade_without_network", || {
        debian.run(&format!("{apt} --download-only install {packages}"))?;
        let printed = debian.run(&format!("unshare --net {apt} install {packages} 2>&1"))?;
        survives(printed, "download linux-source")
    })?;
    steps.run("upgrade_without_source", || {
        let printed = debian.run(&format!(
            "mv /var/lib/apt/lists /var/lib/apt/away
             {hooks}
             mv /var/lib/apt/away /var/lib/apt/lists"
        ))?;
        survives(printed, "apt does not offer linux-source")
    })?;
    // The index of the archive lists the source, but the file is no longer there.
    steps.run("upgrade_with_outdated_index", || {
        let printed = debian.run(&format!(
            "mkdir -p /tmp/archive/lists
             cd /tmp/archive
             apt-cache show linux-source-$(echo {new} | cut -d . -f 1,2) > Packages
             echo 'deb [trusted=yes] http://127.0.0.1/ ./' > sources.list
             echo 'Dir::Etc {{ SourceList \"/tmp/archive/sources.list\"; SourceParts \"-\"; }}' > apt.conf
             echo 'Dir::State::Lists \"/tmp/archive/lists\";' >> apt.conf
             export APT_CONFIG=/tmp/archive/apt.conf
             unshare --net sh -ec '
                 ip link set lo up
                 python3 -m http.server 80 > /dev/null 2>&1 &
                 sleep 2
                 apt-get update
                 {hooks}
                 kill $!'
             rm -r /tmp/archive"
        ))?;
        ensure!(printed.contains("404"), "it prints: {printed}");
        survives(printed, "run `apt update` and try again")
    })?;
    steps.run("upgrade_with_full_disk", || {
        let printed = debian.run(&format!(
            "mount -t tmpfs -o size=300m,mode=755 full /var/cache/rust-kernel-kit
             {hooks}
             umount /var/cache/rust-kernel-kit"
        ))?;
        survives(printed, "MB of disk space are free")
    })?;
    // Another process holds the locks of apt and dpkg. The source is downloaded nevertheless.
    let another_compiler = format!(
        "printf '#!/bin/sh\necho rustc 1.99.0\n' > /usr/local/bin/rustc
         chmod +x /usr/local/bin/rustc
         python3 -c '{HOLD_LOCKS}' &
         sleep 1
         PATH=/usr/local/bin:$PATH
         {hooks}
         kill $!
         rm /usr/local/bin/rustc
         dpkg-deb --fsys-tarfile /var/cache/rust-kernel-kit/{new}.downloads/*.deb > /dev/null"
    );
    steps.run("upgrade_with_another_compiler", || {
        let printed = debian.run(&another_compiler)?;
        survives(printed, "the kernel was built with rustc")
    })?;
    // What a power failure leaves.
    steps.run("incomplete_source_is_downloaded_again", || {
        let printed = debian.run(&format!(
            "cd /var/cache/rust-kernel-kit
             truncate --size 1M {new}.downloads/*.deb
             mkdir -p {new}.work/source
             touch {new}.work/.rust-kernel-kit {new}.work/source/Makefile
             {another_compiler}
             test ! -e {new}.work"
        ))?;
        survives(printed, "the kernel was built with rustc")
    })?;
    // From here on, the source is there, and no network is needed.
    steps.run("upgrade_that_is_killed", || {
        debian.run(&format!(
            "unshare --net {apt} --reinstall install linux-headers-{new} > /tmp/log 2>&1 &
             timeout 300 sh -c 'until pgrep --full {work}/build; do sleep 1; done'
             sleep 5
             kill -KILL $(pidof -c apt-get dpkg rust-kernel-kit)
             sleep 5
             if pgrep --full --list-full {work} >&2; then exit 1; fi
             test -n \"$(dpkg --audit)\"
             unshare --net dpkg --configure -a"
        ))?;
        is_in_order()?;
        debian.has_module(new)
    })?;
    let unbuild = format!("dkms unbuild $(dkms status adler32 -k {new} | cut -d , -f 1) -k {new}");
    steps.run("build_with_full_disk", || {
        // DKMS uses the directory for some seconds after it has failed.
        let printed = debian.run(&format!(
            "{unbuild}
             mount -t tmpfs -o size=$(($(du -sk /var/lib/dkms | cut -f 1) + 100))k full /mnt
             cp -a /var/lib/dkms/. /mnt
             mount --bind /mnt /var/lib/dkms
             {service}
             sleep 4
             umount /var/lib/dkms /mnt"
        ))?;
        survives(printed, "Error!")
    })?;
    steps.run("build_that_is_killed", || {
        let printed = debian.run(&format!(
            "(sleep 3; kill -KILL $(pidof -c -x dkms)) &
             {service}"
        ))?;
        survives(printed, "Killed")?;
        debian.run(&service)?;
        debian.has_module(new)
    })?;
    // The metadata was generated for other headers of the same release.
    steps.run("module_is_built_again", || {
        debian.run(&format!(
            "touch /var/cache/rust-kernel-kit/{new}/Module.symvers
             {service}
             test $(modinfo -k {new} -n adler32) -nt /var/cache/rust-kernel-kit/{new}/Module.symvers"
        ))?;
        debian.has_module(new)
    })?;
    // A power failure has cut the module short, or both the module and DKMS's copy of it.
    let condition = "sed -n 's/^ExecCondition=//p' /usr/lib/systemd/system/adler32-build.service";
    steps.run("incomplete_module_is_built_again", || {
        for truncate in [
            "truncate --size 3000 $module",
            "truncate --size 0 $module $copy",
        ] {
            debian.run(&format!(
                "module=$(modinfo -k {new} -n adler32)
                 copy=$(ls /var/lib/dkms/adler32/*/{new}/x86_64/module/adler32.ko*)
                 condition=$({condition} | sed 's/%v/{new}/')
                 if eval \"$condition\"; then exit 1; fi
                 {truncate}
                 eval \"$condition\"
                 {service}"
            ))?;
            debian.has_module(new)?;
        }
        Ok(())
    })?;
    steps.run("missing_module_is_built_after_boot", || {
        debian.run(&unbuild)?;
        let checks = format!("{BUILT_AFTER_BOOT}{CHECKS}");
        debian.boot(new, Firmware::None, &checks).map(drop)
    })
}

/// Makes a package of the metadata on one system and installs it on another one, which has neither
/// the kernel's source nor `bindgen`.
fn metadata(systems: &Systems, release: &str, steps: &mut Steps) -> Result<()> {
    let mut packages = systems.packages.clone();
    let copy = systems.path("rust-kernel-metadata.deb");
    steps.run("metadata_is_packaged", || {
        systems.with_packages(|debian| {
            debian.run(&format!(
                "rust-kernel-kit --package /tmp {release}
                 mv /tmp/rust-kernel-metadata-{release}_*.deb /tmp/metadata.deb"
            ))?;
            debian.fetch("tmp/metadata.deb", &copy)
        })
    })?;
    packages.push(copy);
    systems.with(&["kernel"], |debian| {
        steps.run("packaged_metadata_is_used", || {
            let files = debian.copy(&packages)?;
            let apt = "apt-get --yes --no-install-recommends";
            let files = files.join(" ");
            debian.run(&format!(
                "{apt} --download-only install {files}
                 unshare --net {apt} install {files} 2>&1
                 if command -v bindgen; then exit 1; fi"
            ))?;
            debian.is_configured()?;
            debian.has_module(release)
        })?;
        steps.run("metadata_of_another_kernel_is_refused", || {
            let printed = debian.run(&format!(
                "echo _RNvX >> /usr/lib/rust-kernel-metadata/{release}/symbols
                 rm -r /var/cache/rust-kernel-kit/{release}
                 dpkg-reconfigure rust-kernel-metadata-{release} 2>&1 && exit 1 || true"
            ))?;
            ensure!(
                printed.contains("_RNvX") && printed.contains("remove the package"),
                "it prints: {printed}"
            );
            Ok(())
        })
    })
}

/// Installs kernels of two more flavours in one run of apt, and boots each of them.
fn flavours(debian: &Debian, new: &str, steps: &mut Steps) -> Result<()> {
    let releases = ["cloud-amd64", "rt-amd64"].map(|flavour| new.replace("amd64", flavour));
    steps.run("two_kernels_in_one_run", || {
        let packages = releases.each_ref().map(|release| kernel_packages(release));
        debian.install(BACKPORTS, packages.as_flattened())?;
        releases
            .iter()
            .try_for_each(|release| debian.has_module(release))
    })?;
    for (name, release) in ["cloud_kernel_boots", "rt_kernel_boots"]
        .iter()
        .zip(&releases)
    {
        steps.run(name, || {
            debian.boot(release, Firmware::None, CHECKS).map(drop)
        })?;
    }
    Ok(())
}

/// Installs and boots the kernel of trixie itself, without backports, and one without Rust that the
/// lab has built. No module is built for them.
fn declined(debian: &Debian, steps: &mut Steps) -> Result<()> {
    let before = debian.run("dkms status adler32")?;
    let is_declined = |printed: String| {
        ensure!(!printed.contains("adler32"), "it prints: {printed}");
        let status = debian.run("dkms status adler32")?;
        ensure!(status == before, "dkms prints: {status}");
        Ok(())
    };
    let boot = |release: &str, reason: &str| {
        let checks = format!("reason='{reason}'\n{DECLINED}");
        debian.boot(release, Firmware::None, &checks).map(drop)
    };
    let release = steps.run("older_kernel_is_declined", || {
        let packages = ["image", "headers"].map(|part| format!("linux-{part}-amd64/trixie"));
        is_declined(debian.install(&[], &packages)?)?;
        debian.run("ls /boot | sed -n 's/^vmlinuz-//p' | grep '^6[.]'")
    })?;
    steps.run("declined_system_boots", || {
        boot(release.trim_end(), "older than 7.2")
    })?;
    let release = steps.run("kernel_without_rust_is_declined", || {
        let release = debian.install_built("no-rust")?;
        is_declined(debian.run(&format!(
            "linux-run-hooks image postinst {release} /boot/vmlinuz-{release} -- configure 2>&1"
        ))?)?;
        Ok(release)
    })?;
    steps.run("system_without_rust_boots", || {
        boot(&release, "built without CONFIG_RUST")
    })
}

fn kernel_packages(release: &str) -> [String; 2] {
    ["image", "headers"].map(|part| format!("linux-{part}-{release}"))
}
