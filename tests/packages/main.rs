// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Does with the Debian packages what their users do: installs the packages on a clean trixie with
//! a stock kernel, boots the system, upgrades the kernel, boots again, and purges the packages.
//!
//! Runs as root in the lab's root and uses the package archives of that root. Packages are
//! installed in a chroot, because building a module takes too long on an emulated processor. QEMU
//! then boots the installed system with its own initial RAM disk and systemd.

mod debian;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use clap::Parser;

use debian::Debian;

/// Install, boot, upgrade and purge the packages.
#[derive(Parser)]
struct Arguments {
    /// The package files
    #[arg(required = true)]
    packages: Vec<PathBuf>,
    /// The directory for the system; what it contains is removed
    #[arg(long)]
    directory: PathBuf,
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

const BACKPORTS: &[&str] = &["--target-release=trixie-backports"];

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let debian = Debian::new(arguments.directory)?;
    let [old, new] = debian.kernels()?;
    let steps: [(&str, &dyn Fn() -> Result<()>); 9] = [
        ("kernel_is_installed", &|| {
            debian.install(BACKPORTS, &kernel_packages(&old))?;
            Ok(())
        }),
        ("packages_are_installed", &|| {
            let files = debian.copy(&arguments.packages)?;
            debian.install(&[], &files)?;
            debian.has_module(&old)
        }),
        ("system_boots", &|| debian.boot(&old, CHECKS)),
        ("kernel_is_upgraded", &|| {
            debian.install(BACKPORTS, &kernel_packages(&new))?;
            debian.has_module(&new)
        }),
        ("upgraded_system_boots", &|| debian.boot(&new, CHECKS)),
        ("what_is_missing_is_named", &|| {
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
        }),
        ("cache_with_other_files_is_refused", &|| {
            let printed = debian.run(&format!(
                "mkdir -p /tmp/kit/keep
                 echo me > /tmp/kit/keep/me
                 rust-kernel-kit --cache /tmp/kit {new} 2>&1 || true
                 rm /tmp/kit/keep/me
                 rmdir /tmp/kit/keep /tmp/kit"
            ))?;
            ensure!(printed.contains("contains keep"), "it prints: {printed}");
            Ok(())
        }),
        ("older_kernel_is_declined", &|| {
            // The kernel of trixie itself, without backports.
            let headers = "linux-headers-amd64/trixie".to_owned();
            let printed = debian.install(&[], &[headers])?;
            ensure!(!printed.contains("Error!"), "it prints: {printed}");
            let status = debian.run("dkms status adler32")?;
            ensure!(status.lines().count() == 2, "dkms prints: {status}");
            Ok(())
        }),
        ("purge_leaves_nothing", &|| {
            debian.run("apt-get --yes purge 'adler32-*'; rm /tmp/*.deb")?;
            let left =
                debian.run("find / -xdev -name '*adler32*' -o -xdev -name 'rust-kernel-kit*'")?;
            ensure!(left.is_empty(), "these files are left:\n{left}");
            Ok(())
        }),
    ];
    let mut passed = 0;
    for (name, step) in steps {
        if let Err(error) = step() {
            println!("test packages::{name} ... FAILED");
            println!("{error:#}");
            // Each step needs the steps before it.
            println!("test result: FAILED. {passed} passed; 1 failed; 0 ignored");
            return Ok(ExitCode::FAILURE);
        }
        println!("test packages::{name} ... ok");
        passed += 1;
    }
    println!("test result: ok. {passed} passed; 0 failed; 0 ignored");
    debian.remove().context("cannot remove the system")?;
    Ok(ExitCode::SUCCESS)
}

fn kernel_packages(release: &str) -> [String; 2] {
    ["image", "headers"].map(|part| format!("linux-{part}-{release}"))
}
