// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Private mount and process namespaces for the whole program. When the program ends, even by a
//! kill, the kernel removes the program's mounts and kills its processes.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use anyhow::Result;
use nix::mount::mount;
use nix::mount::MsFlags;
use nix::sched::unshare;
use nix::sched::CloneFlags;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::wait::wait;
use nix::sys::wait::waitpid;
use nix::sys::wait::WaitStatus;
use nix::unistd::chdir;
use nix::unistd::chroot;
use nix::unistd::fork;
use nix::unistd::setgid;
use nix::unistd::setgroups;
use nix::unistd::setuid;
use nix::unistd::ForkResult;
use nix::unistd::Gid;
use nix::unistd::Pid;
use nix::unistd::Uid;

/// Continues in a new process in private namespaces. The calling process only waits for the new one
/// and exits with its status. Must be called before any thread is started.
pub fn enter() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID).context(
        "cannot make namespaces: root on the host or in a privileged container is needed",
    )?;
    // SAFETY: The caller guarantees that there is no other thread, so the child may run any code.
    if let ForkResult::Parent { child } = unsafe { fork() }? {
        std::process::exit(status_of(waitpid(child, None)?));
    }
    // This is the first process of the namespace: when it dies, the kernel kills all others.
    set_pdeathsig(Signal::SIGKILL)?;
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )?;
    // SAFETY: The caller guarantees that there is no other thread, so the child may run any code.
    if let ForkResult::Parent { child } = unsafe { fork() }? {
        std::process::exit(reap(child)?);
    }
    Ok(())
}

/// Waits for every child until `child` ends, and returns the exit status of `child`. The first
/// process of a process namespace must do this for processes that lost their parents.
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

/// Returns the exit status as a shell reports it.
fn status_of(status: WaitStatus) -> i32 {
    match status {
        WaitStatus::Exited(_, code) => code,
        WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
        _ => 125,
    }
}

/// Makes the file or directory `from` visible at `to`. `flags` may contain `MS_REC`.
pub fn bind(from: &Path, to: &Path, flags: MsFlags) -> Result<()> {
    mount(
        Some(from),
        to,
        None::<&str>,
        MsFlags::MS_BIND | flags,
        None::<&str>,
    )
    .with_context(|| format!("cannot bind {} to {}", from.display(), to.display()))
}

/// Mounts a new file system of type `fstype` on `dir`.
pub fn mount_new(fstype: &str, dir: &Path, options: &str) -> Result<()> {
    mount(
        Some(fstype),
        dir,
        Some(fstype),
        MsFlags::empty(),
        Some(options),
    )
    .with_context(|| format!("cannot mount {fstype} on {}", dir.display()))
}

/// The user and the group that a command runs as.
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

/// Makes `command` run in the root directory `root`, in the directory `dir` there, as `caller` if
/// one is given.
pub fn confine(
    command: &mut Command,
    root: &Path,
    dir: &Path,
    caller: Option<Caller>,
) -> Result<()> {
    let root = CString::new(root.as_os_str().as_bytes())?;
    let dir = CString::new(dir.as_os_str().as_bytes())?;
    // SAFETY: The closure only makes system calls, which are allowed between fork and exec. It owns
    // what it uses.
    unsafe {
        command.pre_exec(move || {
            chroot(root.as_c_str())?;
            chdir(dir.as_c_str())?;
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
