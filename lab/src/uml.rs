// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Runs User Mode Linux, a kernel that is a program in the root.

use std::fs;
use std::fs::File;
use std::io;
use std::os::fd::IntoRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use nix::sched::sched_getaffinity;
use nix::sched::sched_setaffinity;
use nix::sched::CpuSet;
use nix::unistd::Pid;

use crate::flavour::Flavour;
use crate::flavour::Variant;
use crate::guest::write_job;
use crate::guest::Guest;
use crate::guest::Start;
use crate::guest::Streams;
use crate::guest::VmOptions;
use crate::guest::RUN;
use crate::guest::SHARE;
use crate::job::port;
use crate::job::Job;
use crate::job::INIT;
use crate::job::UML;
use crate::root::Root;
use crate::root::STAMPS;

/// Boots `variant` to run `job`.
pub fn start(
    root: &Root,
    share: &Path,
    variant: &Variant,
    options: &VmOptions,
    job: &Job,
) -> Result<Guest> {
    let several = variant.flavour == Flavour::UmlSmp;
    if options.processors != 1 && !several {
        bail!(
            "only the flavour uml-smp of User Mode Linux has several processors: leave out --smp"
        );
    }
    if options.icount {
        bail!("User Mode Linux cannot count instructions: leave out --icount");
    }
    write_job(share, job)?;
    let mut streams = Streams::default();
    let (console, log) = streams.add()?;
    let (terminal, line) = streams.add()?;
    let (stdout, out) = streams.add()?;
    let (stderr, err) = streams.add()?;
    let (control, reports) = streams.add()?;
    let (messages, own_output) = io::pipe()?;

    let mut uml = root.command(&variant.image())?;
    uml.stdin(Stdio::null())
        .stdout(own_output.try_clone()?)
        .stderr(own_output)
        // The guest's memory is a file in this directory, a tmpfs of the root. /dev/shm is too
        // small in some containers.
        .env("TMPDIR", "/tmp");
    // With seccomp, a system call costs half as much as with ptrace, the fallback.
    uml.arg("seccomp=auto")
        .arg(format!("mem={}M", options.memory))
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
        .args(several.then(|| format!("ncpus={}", options.processors)))
        .args(["console=tty0", "oops=panic", "panic=-1"])
        .args(variant.flavour.parameters().split_whitespace())
        .args(options.append.split_whitespace());
    if options.processors == 1 {
        // The kernel and its processes take turns. That is faster on one processor than on two.
        let processor = processor(root)?;
        // SAFETY: The closure only makes a system call, which is allowed between fork and exec. It
        // owns the set of processors.
        unsafe {
            uml.pre_exec(move || Ok(sched_setaffinity(Pid::from_raw(0), &processor)?));
        }
    }
    streams.pass_to(&mut uml);
    Start {
        process: uml,
        messages,
        daemons: Vec::new(),
        console,
        terminal,
        stdout,
        stderr,
        control,
    }
    .spawn()
}

/// Chooses a processor for the guest: the last one that this process may use and no other guest
/// uses, because the first one handles the most interrupts. If all are in use, the last one is
/// shared.
fn processor(root: &Root) -> Result<CpuSet> {
    let usable = sched_getaffinity(Pid::from_raw(0))?;
    let usable: Vec<_> = (0..CpuSet::count())
        .filter(|&number| usable.is_set(number).unwrap_or(false))
        .rev()
        .collect();
    let locks = root.join(STAMPS).join("processors");
    fs::create_dir_all(&locks)?;
    let mut chosen = *usable
        .first()
        .context("this process may use no processor")?;
    for number in usable {
        let lock = File::create(locks.join(number.to_string()))?;
        if lock.try_lock().is_ok() {
            chosen = number;
            // Hold the lock until the lab ends.
            let _ = lock.into_raw_fd();
            break;
        }
    }
    let mut set = CpuSet::new();
    set.set(chosen)?;
    Ok(set)
}
