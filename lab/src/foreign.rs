// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Kernels and guests of arm64 on a host of x86-64: what the root contains for them.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use rust_kernel_kit::command;
use rust_kernel_kit::owned;
use rust_kernel_kit::owned::Lock;

use crate::cache::Cache;
use crate::root::Root;

/// Packages of the root: what the cross compilers need, and the virtual machine. The C compiler
/// itself is unpacked: its package conflicts with gcc-multilib, which compiles 32-bit programs.
const PACKAGES: [&str; 7] = [
    "binutils-aarch64-linux-gnu",
    "cargo",
    "cpp-14-aarch64-linux-gnu",
    "libc6-dev-arm64-cross",
    "libcc1-0",
    "libgcc-14-dev-arm64-cross",
    "qemu-system-arm",
];
/// Packages of the guest's user space, in addition to the essential ones.
const USER_SPACE: [&str; 9] = [
    "cryptsetup-bin",
    "iproute2",
    "kcapi-tools",
    "kmod",
    "mount",
    "procps",
    "python3",
    "udev",
    "xz-utils",
];
/// The directory in the root with everything for arm64.
const DIR: &str = "/var/lib/lab/arm64";
/// Makes the directory.
const MAKE: &str = include_str!("../scripts/foreign.sh");

/// What cargo needs to build programs for the guests. They are static, as those of x86-64.
const CARGO: [(&str, &str); 4] = [
    ("CARGO_BUILD_TARGET", "aarch64-unknown-linux-gnu"),
    (
        "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER",
        "aarch64-linux-gnu-gcc-14",
    ),
    ("CC_aarch64_unknown_linux_gnu", "aarch64-linux-gnu-gcc-14"),
    ("RUSTFLAGS", "-C target-feature=+crt-static"),
];

/// Returns whether the root is prepared for kernels of arm64.
fn is_ready(root: &Root) -> bool {
    root.stamp("foreign")
        .is_some_and(|made_of| made_of == inputs())
}

/// Returns everything that the preparation depends on.
fn inputs() -> String {
    format!("{PACKAGES:?}\n{USER_SPACE:?}\n{MAKE}")
}

/// Prepares the root for kernels of arm64, unless it is prepared. `lock` is the cache's lock.
pub fn prepare(root: &Root, lock: &Lock) -> Result<()> {
    if is_ready(root) {
        return Ok(());
    }
    root.install("install a compiler and QEMU for arm64", &PACKAGES, lock)?;
    owned::remove(&root.join(&DIR[1..]))?;
    command::step(
        "make a Debian user space of arm64",
        root.command("sh")?
            .args(["-c", MAKE, "foreign.sh", "arm64", DIR])
            .args(USER_SPACE),
    )?;
    root.write_stamp("foreign", &inputs())
}

/// Prepares the root for kernels of arm64, unless it is prepared.
pub fn ensure(cache: &Cache, root: &Root) -> Result<()> {
    if is_ready(root) {
        return Ok(());
    }
    let lock = cache.lock()?;
    root.refresh_stale_index(&lock)?;
    prepare(root, &lock)
}

/// Makes `command`, which runs cargo in the root, build programs for guests of arm64. `home` is
/// cargo's directory on the host, which must be visible in the root.
pub fn build_with_cargo(command: &mut Command, home: &Path) {
    command.env("CARGO_HOME", home).envs(CARGO);
}

/// Makes `command`, which runs apt in the root, use packages of arm64.
pub fn select(command: &mut Command) {
    command.env("APT_CONFIG", format!("{DIR}/apt.conf"));
}

/// Downloads the package index for arm64 again. `_lock` is the cache's lock.
pub fn refresh_index(root: &Root, _lock: &Lock) -> Result<()> {
    let mut update = root.command("apt-get")?;
    select(update.arg("update"));
    command::step("download the package index of arm64", &mut update)
}

/// Returns the directory on the host with the guest's user space.
pub fn user_space(root: &Root) -> PathBuf {
    root.join(&DIR[1..]).join("root")
}
