// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Private mount and process namespaces for the whole program: every mount and every process it
//! makes is gone when it ends, however it ends.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use nix::mount::{mount, MsFlags};
use nix::sched::{unshare, CloneFlags};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::wait::{wait, waitpid, WaitStatus};
use nix::unistd::{chdir, chroot, fork, setgid, setgroups, setuid, ForkResult, Gid, Pid, Uid};

/// Goes on in a process of its own that sees private namespaces; the calling process only waits
/// for it and ends with its status. Must be called before any thread is started.
pub fn enter() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID).context(
        "cannot make namespaces: root of the whole machine or of a privileged container is needed",
    )?;
    // SAFETY: no other thread exists, so the child may do anything.
    if let ForkResult::Parent { child } = unsafe { fork() }? {
        std::process::exit(status_of(waitpid(child, None)?));
    }
    // The first process of the namespace. When it dies, the kernel kills all others.
    set_pdeathsig(Signal::SIGKILL)?;
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )?;
    // SAFETY: as above.
    if let ForkResult::Parent { child } = unsafe { fork() }? {
        std::process::exit(reap(child)?);
    }
    Ok(())
}

/// Waits for every child until `child` ends, and returns its exit status. This is what the first
/// process of a process namespace is for.
pub fn reap(child: Pid) -> Result<i32> {
    loop {
        let status = wait()?;
        if status.pid() == Some(child)
            && matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..))
        {
            return Ok(status_of(status));
        }
    }
}

/// The exit status as a shell reports it.
fn status_of(status: WaitStatus) -> i32 {
    match status {
        WaitStatus::Exited(_, code) => code,
        WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
        _ => 125,
    }
}

/// Makes `target` show `source`, a file or a folder; `flags` may add `MS_REC`.
pub fn bind(source: &Path, target: &Path, flags: MsFlags) -> Result<()> {
    mount(
        Some(source),
        target,
        None::<&str>,
        MsFlags::MS_BIND | flags,
        None::<&str>,
    )
    .with_context(|| format!("cannot bind {} to {}", source.display(), target.display()))
}

/// Mounts a new file system of type `fstype` on `target`.
pub fn mount_new(fstype: &str, target: &Path, options: &str) -> Result<()> {
    mount(
        Some(fstype),
        target,
        Some(fstype),
        MsFlags::empty(),
        Some(options),
    )
    .with_context(|| format!("cannot mount {fstype} on {}", target.display()))
}

/// Who runs a command: user and group id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    pub uid: u32,
    pub gid: u32,
}

impl std::str::FromStr for Caller {
    type Err = anyhow::Error;

    /// Reads `uid:gid`.
    fn from_str(text: &str) -> Result<Self> {
        let (uid, gid) = text.split_once(':').context("not UID:GID")?;
        Ok(Self {
            uid: uid.parse()?,
            gid: gid.parse()?,
        })
    }
}

/// Makes `command` start below `root`, in `dir` there, as `caller` if one is given.
pub fn confine(
    command: &mut Command,
    root: &Path,
    dir: &Path,
    caller: Option<Caller>,
) -> Result<()> {
    let root = CString::new(root.as_os_str().as_bytes())?;
    let dir: PathBuf = dir.to_owned();
    // SAFETY: the closure makes system calls only.
    unsafe {
        command.pre_exec(move || {
            chroot(root.as_c_str())?;
            chdir(&dir)?;
            if let Some(Caller { uid, gid }) = caller {
                setgroups(&[])?;
                setgid(Gid::from_raw(gid))?;
                setuid(Uid::from_raw(uid))?;
            }
            Ok(())
        });
    }
    Ok(())
}
