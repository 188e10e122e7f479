// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A slow disk: a loop device that a control group limits.

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

/// How slow a disk is.
#[derive(Clone, Copy)]
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
    group: PathBuf,
}

/// The control groups that limit disks: of version 1, or else of version 2.
const GROUPS: [&str; 2] = ["/sys/fs/cgroup/blkio", "/sys/fs/cgroup"];

impl SlowDisk {
    /// Makes a disk with room for `len` bytes. Its files are in `directory`.
    pub fn new(directory: &Path, len: usize, limit: Limit) -> Result<Self> {
        let image = directory.join("image");
        let mounted = directory.join("disk");
        fs::create_dir_all(&mounted)?;
        File::create(&image)?.set_len((len + len / 8 + 16 * MIB) as u64)?;
        succeed(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
        let mut mount = Command::new("mount");
        succeed(mount.args(["-o", "loop"]).arg(&image).arg(&mounted))?;
        let device = fs::metadata(&mounted)?.dev();
        let numbers = format!("{}:{}", libc::major(device), libc::minor(device));
        let old = Path::new(GROUPS[0]).is_dir();
        let group = Path::new(GROUPS[usize::from(!old)]).join("adler32-bench");
        let disk = Self {
            directory: mounted,
            group,
        };
        fs::create_dir_all(&disk.group)?;
        let (name, setting) = match (old, limit) {
            (true, Limit::Bytes(rate)) => (
                "blkio.throttle.read_bps_device",
                format!("{numbers} {rate}"),
            ),
            (true, Limit::Requests(rate)) => (
                "blkio.throttle.read_iops_device",
                format!("{numbers} {rate}"),
            ),
            (false, Limit::Bytes(rate)) => ("io.max", format!("{numbers} rbps={rate}")),
            (false, Limit::Requests(rate)) => ("io.max", format!("{numbers} riops={rate}")),
        };
        let file = disk.group.join(name);
        fs::write(&file, setting).with_context(|| format!("cannot write {}", file.display()))?;
        fs::write(disk.group.join("cgroup.procs"), "0").context("cannot join the control group")?;
        Ok(disk)
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        let clean = || -> Result<()> {
            let above = self.group.parent().context("a group")?;
            fs::write(above.join("cgroup.procs"), "0")?;
            fs::remove_dir(&self.group)?;
            succeed(Command::new("umount").arg(&self.directory))
        };
        if let Err(error) = clean() {
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
