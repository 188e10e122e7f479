// SPDX-License-Identifier: GPL-2.0 OR MIT

//! User Mode Linux: the kernel as a program in the root.

use std::fs::{self, File};
use std::io;
use std::os::fd::IntoRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;

use anyhow::{bail, Context, Result};
use nix::sched::{sched_getaffinity, sched_setaffinity, CpuSet};
use nix::unistd::Pid;

use crate::flavour::Target;
use crate::job::{port, Job, INIT, UML};
use crate::root::{Root, STAMPS};
use crate::vm::{write_job, Guest, Machine, Start, Streams, RUN, SHARE};

/// Boots `target` to run `job`.
pub fn start(
    root: &Root,
    share: &Path,
    target: &Target,
    machine: &Machine,
    job: &Job,
) -> Result<Guest> {
    if machine.processors != 1 {
        bail!("User Mode Linux has one processor: leave out --smp");
    }
    if machine.icount {
        bail!("User Mode Linux cannot count instructions: leave out --icount");
    }
    write_job(share, job)?;
    let mut streams = Streams::default();
    let (console, log) = streams.add()?;
    let (terminal, line) = streams.add()?;
    let (stdout, out) = streams.add()?;
    let (stderr, err) = streams.add()?;
    let (control, reports) = streams.add()?;
    let (complaints, say) = io::pipe()?;

    let mut uml = root.command(&target.image())?;
    uml.stdin(Stdio::null())
        .stdout(say.try_clone()?)
        .stderr(say)
        // The memory is a file there, in a tmpfs of the root; /dev/shm is small in some containers.
        .env("TMPDIR", "/tmp");
    // By seccomp, a system call costs half of what it does by ptrace, which is used otherwise.
    uml.arg("seccomp=auto")
        .arg(format!("mem={}M", machine.memory))
        .arg(format!("uml_dir=/{RUN}/uml"))
        .args(["con=null".to_owned(), format!("con0=null,fd:{log}")])
        .arg("ssl=null")
        .args(
            [
                (port::TERMINAL, line),
                (port::STDOUT, out),
                (port::STDERR, err),
                (port::CONTROL, reports),
            ]
            .map(|(number, end)| format!("ssl{number}=fd:{end}")),
        )
        .args(["root=/dev/root", "rootfstype=hostfs", "ro"])
        .arg(format!("rootflags=/{RUN}/{SHARE}"))
        .arg(format!("init={INIT}"))
        .arg(format!("{UML}=1"))
        .args(["console=tty0", "oops=panic", "panic=-1"])
        .args(target.flavour.words().split_whitespace())
        .args(machine.append.split_whitespace());
    // The kernel and its processes take turns, which is faster on one processor than on two.
    let processor = processor(root)?;
    // SAFETY: the closure makes system calls only.
    unsafe {
        uml.pre_exec(move || Ok(sched_setaffinity(Pid::from_raw(0), &processor)?));
    }
    streams.pass_to(&mut uml);
    Start {
        machine: uml,
        complaints,
        daemons: Vec::new(),
        console,
        terminal,
        stdout,
        stderr,
        control,
    }
    .spawn()
}

/// A processor for the guest: the last that this process may use and that no other guest has, as the
/// first has the most interrupts. If all are taken, it is shared.
fn processor(root: &Root) -> Result<CpuSet> {
    let usable = sched_getaffinity(Pid::from_raw(0))?;
    let usable: Vec<_> = (0..CpuSet::count())
        .filter(|&number| usable.is_set(number).unwrap_or(false))
        .rev()
        .collect();
    let folder = root.join(STAMPS).join("processors");
    fs::create_dir_all(&folder)?;
    let mut chosen = *usable.first().context("no processor may be used")?;
    for number in usable {
        let taken = File::create(folder.join(number.to_string()))?;
        if taken.try_lock().is_ok() {
            chosen = number;
            // The lock is held until the lab ends.
            let _ = taken.into_raw_fd();
            break;
        }
    }
    let mut set = CpuSet::new();
    set.set(chosen)?;
    Ok(set)
}
