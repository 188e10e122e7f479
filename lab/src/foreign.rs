// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Kernels and guests of arm64 on a host of x86-64: what the root contains for them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use rust_kernel_kit::command;
use rust_kernel_kit::owned;

use crate::root::Root;

/// Packages of the root: what the cross compiler needs, and the virtual machine. The compiler
/// itself is unpacked: its package conflicts with gcc-multilib, which compiles 32-bit programs.
const PACKAGES: [&str; 6] = [
    "binutils-aarch64-linux-gnu",
    "cpp-14-aarch64-linux-gnu",
    "libc6-dev-arm64-cross",
    "libcc1-0",
    "libgcc-14-dev-arm64-cross",
    "qemu-system-arm",
];
/// Packages of the guest's user space, in addition to the essential ones.
const USER_SPACE: [&str; 6] = ["iproute2", "kcapi-tools", "kmod", "mount", "procps", "udev"];
/// The directory in the root with everything for arm64.
const DIR: &str = "/var/lib/lab/arm64";
/// Makes the directory.
const MAKE: &str = include_str!("../scripts/foreign.sh");

/// Prepares the root for kernels of arm64, unless it is prepared. The caller must hold the cache's
/// lock.
pub fn prepare(root: &Root) -> Result<()> {
    if root.has_stamp("foreign") {
        return Ok(());
    }
    root.install("install a compiler and QEMU for arm64", &PACKAGES)?;
    owned::remove(&root.join(&DIR[1..]))?;
    command::step(
        "make a Debian user space of arm64",
        root.command("sh")?
            .args(["-c", MAKE, "foreign.sh", "arm64", DIR])
            .args(USER_SPACE),
    )?;
    root.write_stamp("foreign", "")
}

/// Makes `command`, which runs apt in the root, use packages of arm64.
pub fn select(command: &mut Command) {
    command.env("APT_CONFIG", format!("{DIR}/apt.conf"));
}

/// Downloads the package index for arm64 again. The caller must hold the cache's lock.
pub fn refresh_index(root: &Root) -> Result<()> {
    let mut update = root.command("apt-get")?;
    select(update.arg("update"));
    command::step("download the package index of arm64", &mut update)
}

/// Returns the directory on the host with the guest's user space.
pub fn user_space(root: &Root) -> PathBuf {
    root.join(&DIR[1..]).join("root")
}
