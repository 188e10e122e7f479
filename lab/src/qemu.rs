// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Runs a kernel in QEMU.

use std::fs;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;

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
use crate::job::DIR_TAG;
use crate::job::INIT;
use crate::job::LOWER_TAG;
use crate::job::ROOT_TAG;
use crate::root::Root;
use crate::root::STAMPS;

/// How long virtiofsd may take to start.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long the trial of KVM may take. If KVM works, it takes a few seconds.
const TRIAL_LIMIT: Duration = Duration::from_secs(20);

/// How QEMU runs the guest's processors.
#[derive(Clone, Copy)]
enum Accelerator {
    Kvm,
    Tcg,
    /// TCG, with a clock that counts instructions.
    Counting,
}

/// Boots `variant` to run `job`.
pub fn start(
    root: &Root,
    share: &Path,
    variant: &Variant,
    options: &VmOptions,
    job: &Job,
) -> Result<Guest> {
    let accelerator = if options.icount {
        if options.processors != 1 {
            bail!("--icount counts the instructions of one processor: leave out --smp");
        }
        Accelerator::Counting
    } else {
        accelerator(root, share, variant, job)?
    };
    start_with(root, share, variant, accelerator, options, job)
}

/// Returns KVM if a guest reached user space with it since the host was booted, else TCG.
fn accelerator(root: &Root, share: &Path, variant: &Variant, job: &Job) -> Result<Accelerator> {
    if variant.is_arm64 {
        return Ok(Accelerator::Tcg);
    }
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
            let options = VmOptions {
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
            let guest = start_with(root, share, variant, Accelerator::Kvm, &options, &job)?;
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
    variant: &Variant,
    accelerator: Accelerator,
    options: &VmOptions,
    job: &Job,
) -> Result<Guest> {
    write_job(share, job)?;
    let (messages, stderr) = io::pipe()?;
    let shared = Path::new("/").join(RUN).join(SHARE);
    let read_only: &[&str] = &["--readonly", "--cache=always"];
    let mut shares = vec![
        (ROOT_TAG, &*shared, read_only),
        // Without this option, the guest drops a program's pages at each start, and reads them back
        // into other pages. TCG does not see virtiofsd's writes to those pages, and would execute
        // stale translations.
        (DIR_TAG, Path::new(&job.dir), &["--cache=always"]),
    ];
    if variant.is_arm64 {
        shares.push((LOWER_TAG, &shared, read_only));
    }
    let daemons = shares
        .iter()
        .map(|(tag, dir, options)| serve(root, tag, dir, options, stderr.try_clone()?.into()))
        .collect::<Result<_>>()?;

    let (program, machine, serial) = if variant.is_arm64 {
        ("qemu-system-aarch64", "virt", "ttyAMA0")
    } else {
        ("qemu-system-x86_64", "q35", "ttyS0")
    };
    let mut qemu = root.command(program)?;
    qemu.stdin(Stdio::null())
        .stdout(stderr.try_clone()?)
        .stderr(stderr);
    // QEMU is slow at the default algorithm of pointer authentication, at page tables with five
    // levels, and at copies byte by byte, which Linux makes if the processor claims they are fast.
    let emulated = if variant.is_arm64 {
        "max,pauth-impdef=on"
    } else {
        "max,la57=off,erms=off,fsrm=off,fsrs=off,fzrm=off"
    };
    let (acceleration, processor) = match accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        Accelerator::Tcg => ("tcg,thread=multi", emulated),
        Accelerator::Counting => ("tcg,thread=single", emulated),
    };
    if let Accelerator::Counting = accelerator {
        // Each instruction takes 2^0 ns.
        qemu.args(["-icount", "shift=0"]);
    }
    let memory = options.memory;
    let parameters = format!(
        "console={serial} {} rootfstype=virtiofs root={ROOT_TAG} ro init={INIT} oops=panic panic=-1 {}",
        variant.flavour.parameters(),
        options.append
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
        &format!("{machine},memory-backend=memory"),
        "-accel",
        acceleration,
        "-cpu",
        processor,
    ])
    .args([
        "-smp",
        &options.processors.to_string(),
        "-m",
        &format!("{memory}M"),
    ])
    .args([
        "-object",
        &format!("memory-backend-memfd,id=memory,size={memory}M,share=on"),
    ])
    .args(["-kernel", &variant.image()])
    .args(["-append", parameters.trim_end()])
    // The first device, so that its ports are called vport0pN.
    .args(["-device", "virtio-serial-pci,romfile="]);
    for (tag, ..) in shares {
        qemu.args(["-chardev", &format!("socket,id={tag},path=/{RUN}/{tag}")])
            .args([
                "-device",
                &format!("vhost-user-fs-pci,chardev={tag},tag={tag},romfile="),
            ]);
    }
    let mut streams = Streams::default();
    let mut stream = |id: &str, device: &[&str]| -> Result<UnixStream> {
        let (host, end) = streams.add()?;
        qemu.args(["-chardev", &format!("socket,id={id},fd={end}")])
            .args(device);
        Ok(host)
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
        process: qemu,
        messages,
        daemons,
        console,
        terminal,
        stdout,
        stderr,
        control,
    }
    .spawn()
}

/// Starts virtiofsd in the root, serving `dir` there, and waits until virtiofsd listens.
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
            bail!("virtiofsd ended early ({status})");
        }
        if started.elapsed() > START_LIMIT {
            bail!(
                "virtiofsd did not listen within {} s",
                START_LIMIT.as_secs()
            );
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(daemon)
}
