// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The virtual machine: the stock kernel in QEMU over the shared root.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use nix::fcntl::{fcntl, FcntlArg, FdFlag};
use nix::mount::MsFlags;

use crate::job::{port, Job, Report, FOLDER_TAG, INIT, ROOT_TAG};
use crate::kernel::Kernel;
use crate::root::{Root, GUEST_DIR, STAMPS};
use crate::terminal::Terminal;
use crate::{console, sandbox};

/// Exit status for a guest whose kernel was in trouble or died.
pub const FAULT: i32 = 97;
/// Exit status for a run that took too long; as timeout(1) has it.
pub const EXPIRED: i32 = 124;

/// Below the root's own /run, which is private to this process.
const RUN: &str = "run/lab";
/// How long virtiofsd may take to start.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long a guest may take to power off when its command is done.
const OFF_LIMIT: Duration = Duration::from_secs(20);
/// How long the trial of KVM may take; a sound one is through in a few seconds.
const TRIAL_LIMIT: Duration = Duration::from_secs(20);
/// How much of the console is shown when a guest dies or takes too long.
const TAIL: usize = 60;

/// The machine to make.
pub struct Machine {
    pub processors: u32,
    /// In MiB.
    pub memory: u32,
    /// More words for the kernel's command line.
    pub append: String,
    pub limit: Duration,
    /// Modules to install beside the stock ones.
    pub modules: Vec<PathBuf>,
}

/// How the processor is emulated.
#[derive(Clone, Copy)]
enum Accelerator {
    Kvm,
    Tcg,
}

/// Boots `kernel`, runs `job` in it and returns the exit status to pass on.
pub fn run(root: &Root, kernel: &Kernel, machine: &Machine, job: &Job) -> Result<i32> {
    let release = &kernel.release;
    let share = share_root(root)?;
    if !machine.modules.is_empty() {
        install_modules(root, &share, release, &machine.modules)?;
    }
    let accelerator = accelerator(root, &share, kernel, job)?;
    boot(root, &share, kernel, accelerator, machine, job)
}

/// Shows the root without what is mounted in it, and this program in it. Returns the host's path
/// of the share.
fn share_root(root: &Root) -> Result<PathBuf> {
    let share = root.join(RUN).join("share");
    fs::create_dir_all(&share)?;
    sandbox::bind(&root.join(""), &share, MsFlags::empty())?;
    let guest = share.join(GUEST_DIR);
    sandbox::mount_new("tmpfs", &guest, "mode=755")?;
    fs::copy("/proc/self/exe", share.join(INIT.trim_start_matches('/')))?;
    Ok(share)
}

/// Lays a copy of the kernel's module folder with `modules` in it over the one in the share.
fn install_modules(root: &Root, share: &Path, release: &str, modules: &[PathBuf]) -> Result<()> {
    let folder = Path::new("usr/lib/modules").join(release);
    let stock = root.join(&folder);
    let layer = root.join(RUN).join("modules");
    for dir in ["kernel", "updates"] {
        fs::create_dir_all(layer.join(dir))?;
    }
    for entry in fs::read_dir(&stock)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), layer.join(entry.file_name()))?;
        }
    }
    for module in modules {
        let name = module
            .file_name()
            .with_context(|| format!("{} is no file", module.display()))?;
        fs::copy(module, layer.join("updates").join(name))
            .with_context(|| format!("cannot install {}", module.display()))?;
    }
    sandbox::bind(
        &stock.join("kernel"),
        &layer.join("kernel"),
        MsFlags::empty(),
    )?;
    sandbox::bind(&layer, &share.join(&folder), MsFlags::MS_REC)?;
    let mut depmod = root.command("depmod")?;
    depmod
        .arg("-b")
        .arg(Path::new("/").join(RUN).join("share"))
        .arg(release);
    root.output(&mut depmod)?;
    Ok(())
}

/// KVM if a guest really reached user space with it since the host was booted, else TCG.
fn accelerator(root: &Root, share: &Path, kernel: &Kernel, job: &Job) -> Result<Accelerator> {
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
                append: String::new(),
                limit: TRIAL_LIMIT,
                modules: Vec::new(),
            };
            let job = Job {
                terminal: false,
                command: vec!["true".into()],
                ..job.clone()
            };
            let guest = Guest::start(root, share, kernel, Accelerator::Kvm, &machine, &job)?;
            let works = guest.wait(TRIAL_LIMIT)?.status == Some(0);
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

fn boot(
    root: &Root,
    share: &Path,
    kernel: &Kernel,
    accelerator: Accelerator,
    machine: &Machine,
    job: &Job,
) -> Result<i32> {
    let terminal = job.terminal.then(Terminal::open).transpose()?;
    let mut guest = Guest::start(root, share, kernel, accelerator, machine, job)?;
    if let Some(terminal) = &terminal {
        guest.attach_terminal(terminal)?;
    }
    let end = guest.wait(machine.limit)?;
    drop(terminal);
    if let Some(fault) = console::fault(&end.console) {
        eprintln!("lab: the guest's kernel is in trouble:\n{fault}");
        return Ok(FAULT);
    }
    if end.expired {
        eprintln!(
            "lab: not done after {} s; the end of the guest's console:\n{}",
            machine.limit.as_secs(),
            console::tail(&end.console, TAIL)
        );
        return Ok(EXPIRED);
    }
    if let Some(why) = end.failed {
        bail!(
            "the guest cannot start: {why}\n{}",
            console::tail(&end.console, TAIL)
        );
    }
    match end.status {
        Some(status) => Ok(status),
        None => {
            eprintln!(
                "lab: the guest died; QEMU says:\n{}\nthe end of its console:\n{}",
                end.complaints.trim(),
                console::tail(&end.console, TAIL)
            );
            Ok(FAULT)
        }
    }
}

/// A running guest.
struct Guest {
    qemu: Child,
    daemons: Vec<Child>,
    console: thread::JoinHandle<String>,
    complaints: thread::JoinHandle<String>,
    outputs: Vec<thread::JoinHandle<()>>,
    reports: mpsc::Receiver<Result<Report>>,
    control: UnixStream,
    terminal: UnixStream,
}

/// How a guest ended.
struct End {
    /// The command's exit status, if it came to that.
    status: Option<i32>,
    /// Why the guest could not be set up.
    failed: Option<String>,
    /// Whether the limit was reached.
    expired: bool,
    /// The kernel's log.
    console: String,
    /// What QEMU and virtiofsd have said.
    complaints: String,
}

impl Guest {
    fn start(
        root: &Root,
        share: &Path,
        kernel: &Kernel,
        accelerator: Accelerator,
        machine: &Machine,
        job: &Job,
    ) -> Result<Self> {
        fs::write(share.join(GUEST_DIR).join("job"), job.to_bytes())?;
        let (complaints, stderr) = io::pipe()?;
        let shared = Path::new("/").join(RUN).join("share");
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
                &[],
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
        };
        let memory = machine.memory;
        let words = format!(
            "console=ttyS0 loglevel=6 rootfstype=virtiofs root={ROOT_TAG} ro init={INIT} oops=panic panic=-1 {}",
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
        .args([
            "-kernel",
            &format!("/usr/lib/modules/{}/vmlinuz", kernel.release),
        ])
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
        let mut passed = Vec::new();
        let mut stream = |id: &str, device: &[&str]| -> Result<UnixStream> {
            let (ours, theirs) = UnixStream::pair()?;
            qemu.args([
                "-chardev",
                &format!("socket,id={id},fd={}", theirs.as_raw_fd()),
            ])
            .args(device);
            passed.push(OwnedFd::from(theirs));
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
        // SAFETY: the closure makes system calls only.
        unsafe {
            qemu.pre_exec(move || {
                for descriptor in &passed {
                    fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))?;
                }
                Ok(())
            });
        }
        let child = qemu.spawn().context("cannot run QEMU in the root")?;
        // Our copies of QEMU's ends would keep the readers from their end of file.
        drop(qemu);

        let (sender, reports) = mpsc::channel();
        let lines = BufReader::new(control.try_clone()?).lines();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(line.parse()).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            qemu: child,
            daemons,
            console: collect(console),
            complaints: collect(complaints),
            outputs: vec![pass_on(stdout, io::stdout()), pass_on(stderr, io::stderr())],
            reports,
            control,
            terminal,
        })
    }

    /// Joins the guest's terminal to this program's.
    fn attach_terminal(&mut self, terminal: &Terminal) -> Result<()> {
        self.outputs
            .push(pass_on(self.terminal.try_clone()?, io::stdout()));
        terminal.join(self.terminal.try_clone()?, self.control.try_clone()?)
    }

    /// Waits for the guest to power off, at most for `limit`.
    fn wait(mut self, limit: Duration) -> Result<End> {
        let mut deadline = Instant::now() + limit;
        let (mut status, mut failed, mut expired) = (None, None, false);
        let mut ended = false;
        while !ended {
            ended = self.qemu.try_wait()?.is_some();
            if !ended && Instant::now() > deadline {
                expired = status.is_none() && failed.is_none();
                self.qemu.kill()?;
                self.qemu.wait()?;
                ended = true;
            }
            // Once QEMU has ended the channel closes behind the last report.
            let pause = if ended {
                START_LIMIT
            } else {
                Duration::from_millis(5)
            };
            while let Ok(report) = self.reports.recv_timeout(pause) {
                match report? {
                    Report::Ready => {}
                    Report::Exit(code) => status = Some(code),
                    Report::Failed(why) => failed = Some(why),
                }
                deadline = Instant::now()
                    + if status.is_some() || failed.is_some() {
                        OFF_LIMIT
                    } else {
                        limit
                    };
            }
        }
        for mut daemon in self.daemons {
            let _ = daemon.kill();
            daemon.wait()?;
        }
        for output in self.outputs {
            let _ = output.join();
        }
        Ok(End {
            status,
            failed,
            expired,
            console: self.console.join().unwrap_or_default(),
            complaints: self.complaints.join().unwrap_or_default(),
        })
    }
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

/// Reads all of `from` in a thread.
fn collect(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).replace('\r', "")
    })
}

/// Writes all of `from` to `to` in a thread, as it comes. When nobody takes it any more, it is
/// still read, so that the guest goes on.
fn pass_on(mut from: UnixStream, mut to: impl Write + Send + 'static) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let _ = to.write_all(&buffer[..count]).and_then(|()| to.flush());
        }
    })
}
