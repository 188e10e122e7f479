// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The kernel in QEMU.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};

use crate::flavour::Target;
use crate::job::{port, Job, FOLDER_TAG, INIT, ROOT_TAG};
use crate::root::{Root, STAMPS};
use crate::vm::{write_job, Guest, Machine, Start, Streams, RUN, SHARE};

/// How long virtiofsd may take to start.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long the trial of KVM may take; a sound one is through in a few seconds.
const TRIAL_LIMIT: Duration = Duration::from_secs(20);

/// How the processor is emulated.
#[derive(Clone, Copy)]
enum Accelerator {
    Kvm,
    Tcg,
    /// TCG with a clock that counts instructions.
    Counting,
}

/// Boots `target` to run `job`.
pub fn start(
    root: &Root,
    share: &Path,
    target: &Target,
    machine: &Machine,
    job: &Job,
) -> Result<Guest> {
    let accelerator = if machine.icount {
        if machine.processors != 1 {
            bail!("--icount counts the instructions of one processor: leave out --smp");
        }
        Accelerator::Counting
    } else {
        accelerator(root, share, target, job)?
    };
    start_with(root, share, target, accelerator, machine, job)
}

/// KVM if a guest really reached user space with it since the host was booted, else TCG.
fn accelerator(root: &Root, share: &Path, target: &Target, job: &Job) -> Result<Accelerator> {
    if File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .is_err()
    {
        return Ok(Accelerator::Tcg);
    }
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let known = fs::read_to_string(root.join(STAMPS).join("kvm")).unwrap_or_default();
    let works = match known.split_once(' ') {
        Some((id, verdict)) if id == boot_id.trim() => verdict == "works",
        _ => {
            eprintln!("lab: trying whether KVM works");
            let machine = Machine {
                processors: 1,
                memory: 512,
                icount: false,
                append: String::new(),
                limit: TRIAL_LIMIT,
                modules: Vec::new(),
            };
            let job = Job {
                terminal: false,
                command: vec!["true".into()],
                ..job.clone()
            };
            let guest = start_with(root, share, target, Accelerator::Kvm, &machine, &job)?;
            let works = guest.wait(TRIAL_LIMIT, None)?.status == Some(0);
            let verdict = if works { "works" } else { "fails" };
            eprintln!("lab: KVM {verdict} here");
            root.write_stamp("kvm", &format!("{} {verdict}", boot_id.trim()))?;
            works
        }
    };
    Ok(if works {
        Accelerator::Kvm
    } else {
        Accelerator::Tcg
    })
}

fn start_with(
    root: &Root,
    share: &Path,
    target: &Target,
    accelerator: Accelerator,
    machine: &Machine,
    job: &Job,
) -> Result<Guest> {
    write_job(share, job)?;
    let (complaints, stderr) = io::pipe()?;
    let shared = Path::new("/").join(RUN).join(SHARE);
    let daemons = vec![
        serve(
            root,
            ROOT_TAG,
            &shared,
            &["--readonly", "--cache=always"],
            stderr.try_clone()?.into(),
        )?,
        serve(
            root,
            FOLDER_TAG,
            Path::new(&job.folder),
            // Else the guest drops a program's pages whenever it is started, and reads them again
            // into other ones. Emulation does not notice what virtiofsd writes there, and executes
            // what it has translated before.
            &["--cache=always"],
            stderr.try_clone()?.into(),
        )?,
    ];

    let mut qemu = root.command("qemu-system-x86_64")?;
    qemu.stdin(Stdio::null())
        .stdout(stderr.try_clone()?)
        .stderr(stderr);
    let (acceleration, processor) = match accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        Accelerator::Tcg => ("tcg,thread=multi", "max"),
        Accelerator::Counting => ("tcg,thread=single", "max"),
    };
    if let Accelerator::Counting = accelerator {
        // 2^0 nanoseconds for each.
        qemu.args(["-icount", "shift=0"]);
    }
    let memory = machine.memory;
    let words = format!(
        "console=ttyS0 {} rootfstype=virtiofs root={ROOT_TAG} ro init={INIT} oops=panic panic=-1 {}",
        target.flavour.words(),
        machine.append
    );
    qemu.args([
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-display",
        "none",
    ])
    .args([
        "-machine",
        "q35,memory-backend=memory",
        "-accel",
        acceleration,
        "-cpu",
        processor,
    ])
    .args([
        "-smp",
        &machine.processors.to_string(),
        "-m",
        &format!("{memory}M"),
    ])
    .args([
        "-object",
        &format!("memory-backend-memfd,id=memory,size={memory}M,share=on"),
    ])
    .args(["-kernel", &target.image()])
    .args(["-append", words.trim_end()])
    // First, so that its ports are called vport0pN.
    .args(["-device", "virtio-serial-pci,romfile="]);
    for tag in [ROOT_TAG, FOLDER_TAG] {
        qemu.args(["-chardev", &format!("socket,id={tag},path=/{RUN}/{tag}")])
            .args([
                "-device",
                &format!("vhost-user-fs-pci,chardev={tag},tag={tag},romfile="),
            ]);
    }
    let mut streams = Streams::default();
    let mut stream = |id: &str, device: &[&str]| -> Result<UnixStream> {
        let (ours, theirs) = streams.add()?;
        qemu.args(["-chardev", &format!("socket,id={id},fd={theirs}")])
            .args(device);
        Ok(ours)
    };
    let console = stream("console", &["-serial", "chardev:console"])?;
    let terminal = stream(
        "terminal",
        &["-device", "virtconsole,chardev=terminal,nr=0"],
    )?;
    let mut port = |id: &str, number: u32| {
        stream(
            id,
            &[
                "-device",
                &format!("virtserialport,chardev={id},nr={number}"),
            ],
        )
    };
    let stdout = port("stdout", port::STDOUT)?;
    let stderr = port("stderr", port::STDERR)?;
    let control = port("control", port::CONTROL)?;
    streams.pass_to(&mut qemu);
    Start {
        machine: qemu,
        complaints,
        daemons,
        console,
        terminal,
        stdout,
        stderr,
        control,
    }
    .spawn()
}

/// Starts virtiofsd in the root for `dir` there, and waits until it listens.
fn serve(root: &Root, tag: &str, dir: &Path, options: &[&str], stderr: OwnedFd) -> Result<Child> {
    let socket = root.join(RUN).join(tag);
    let _ = fs::remove_file(&socket);
    let mut daemon = root
        .command("/usr/libexec/virtiofsd")?
        .arg(format!("--socket-path=/{RUN}/{tag}"))
        .arg("--shared-dir")
        .arg(dir)
        .args([
            "--sandbox=none",
            "--no-announce-submounts",
            "--log-level=error",
        ])
        .args(options)
        .stdin(Stdio::null())
        .stderr(stderr)
        .spawn()
        .context("cannot run virtiofsd in the root")?;
    let started = Instant::now();
    while !socket.exists() {
        if let Some(status) = daemon.try_wait()? {
            bail!("virtiofsd ends at once ({status})");
        }
        if started.elapsed() > START_LIMIT {
            bail!(
                "virtiofsd does not listen after {} s",
                START_LIMIT.as_secs()
            );
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(daemon)
}
