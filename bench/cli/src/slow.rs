// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A slow disk: a loop device that a control group limits.
//!
//! The kernels of many virtual machines lack dm-delay. The limit has the same effect on a program
//! that reads: the device answers a request once in 8 ms, however long the request is, so that
//! twice as long requests give twice the rate, and several under way gain nothing. dm-delay would
//! delay each request for itself, so that several under way would gain more than on a spinning
//! disk, which has one arm.

use std::fs;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use bench_common::MIB;

use crate::control_group::ControlGroup;

/// How slow a disk is.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// So many bytes in a second.
    Bytes(u32),
    /// So many requests in a second.
    Requests(u32),
}

/// A mounted file system on a slow disk. It is slow for this process and its children, while a
/// value of this type exists.
pub struct SlowDisk {
    pub directory: PathBuf,
    group: Option<ControlGroup>,
}

impl SlowDisk {
    /// Makes a disk with room for `len` bytes. Its files are in `directory`.
    pub fn new(directory: &Path, len: usize, limit: Limit) -> Result<Self> {
        // The kernel may remove an earlier disk's loop device later, so no image is used twice.
        let directory = directory.join(format!("{limit:?}"));
        let image = directory.join("image");
        let mounted = directory.join("disk");
        fs::create_dir_all(&mounted)?;
        File::create(&image)?.set_len((len + len / 8 + 16 * MIB) as u64)?;
        succeed(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
        let mut mount = Command::new("mount");
        succeed(mount.args(["-o", "loop"]).arg(&image).arg(&mounted))?;
        let mut disk = Self {
            directory: mounted,
            group: None,
        };
        let device = fs::metadata(&disk.directory)?.dev();
        let numbers = format!("{}:{}", libc::major(device), libc::minor(device));
        let (old, new) = match limit {
            Limit::Bytes(rate) => (
                (
                    "blkio.throttle.read_bps_device",
                    format!("{numbers} {rate}"),
                ),
                ("io.max", format!("{numbers} rbps={rate}")),
            ),
            Limit::Requests(rate) => (
                (
                    "blkio.throttle.read_iops_device",
                    format!("{numbers} {rate}"),
                ),
                ("io.max", format!("{numbers} riops={rate}")),
            ),
        };
        disk.group = Some(ControlGroup::join("blkio", old, new)?);
        Ok(disk)
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        self.group = None;
        if let Err(error) = succeed(Command::new("umount").arg(&self.directory)) {
            eprintln!("cannot remove the slow disk: {error:#}");
        }
    }
}

fn succeed(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name}: {}", errors.trim());
    Ok(())
}
