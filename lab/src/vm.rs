// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The guest: a kernel over the shared root, and what is common to the machines that run it.

use std::fs;
use std::io::{self, BufRead, BufReader, PipeReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use nix::fcntl::{fcntl, FcntlArg, FdFlag};
use nix::mount::MsFlags;

use crate::flavour::Target;
use crate::job::{Job, Report, INIT};
use crate::root::{Root, GUEST_DIR};
use crate::terminal::Terminal;
use crate::{console, qemu, sandbox, uml};

/// Exit status for a guest whose kernel was in trouble or died.
pub const FAULT: i32 = 97;
/// Exit status for a run that took too long; as timeout(1) has it.
pub const EXPIRED: i32 = 124;

/// Below the root's own /run, which is private to this process.
pub const RUN: &str = "run/lab";
/// The shared root's folder below [`RUN`].
pub const SHARE: &str = "share";
/// How long the last report may take to arrive.
const REPORT_LIMIT: Duration = Duration::from_secs(10);
/// How long a guest may take to power off when its command is done.
const OFF_LIMIT: Duration = Duration::from_secs(20);
/// How much of the console is shown when a guest dies or takes too long.
const TAIL: usize = 60;

/// The machine to make.
pub struct Machine {
    pub processors: u32,
    /// In MiB.
    pub memory: u32,
    /// Whether time passes with the instructions executed.
    pub icount: bool,
    /// More words for the kernel's command line.
    pub append: String,
    pub limit: Duration,
    /// Modules to install beside the stock ones.
    pub modules: Vec<PathBuf>,
}

/// Boots `target`, runs `job` in it and returns the exit status to pass on.
pub fn run(root: &Root, target: &Target, machine: &Machine, job: &Job) -> Result<i32> {
    let share = share_root(root)?;
    if !machine.modules.is_empty() {
        install_modules(root, &share, &target.release, &machine.modules)?;
    }
    // Before any thread is started.
    let terminal = job.terminal.then(Terminal::open).transpose()?;
    let guest = if target.flavour.is_uml() {
        uml::start(root, &share, target, machine, job)?
    } else {
        qemu::start(root, &share, target, machine, job)?
    };
    let end = guest.wait(machine.limit, terminal.as_ref())?;
    drop(terminal);
    verdict(end, machine.limit)
}

/// Shows the root without what is mounted in it, and this program in it. Returns the host's path
/// of the share.
fn share_root(root: &Root) -> Result<PathBuf> {
    let share = root.join(RUN).join(SHARE);
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
        .arg(Path::new("/").join(RUN).join(SHARE))
        .arg(release);
    root.output(&mut depmod)?;
    Ok(())
}

/// Writes the job to where the guest finds it.
pub fn write_job(share: &Path, job: &Job) -> Result<()> {
    fs::write(share.join(GUEST_DIR).join("job"), job.to_bytes())
        .context("cannot write the guest's job")
}

/// Tells what went wrong, and returns the exit status to pass on.
fn verdict(end: End, limit: Duration) -> Result<i32> {
    if let Some(fault) = console::fault(&end.console) {
        eprintln!("lab: the guest's kernel is in trouble:\n{fault}");
        return Ok(FAULT);
    }
    if end.expired {
        eprintln!(
            "lab: not done after {} s; the end of the guest's console:\n{}",
            limit.as_secs(),
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
                "lab: the guest died; the machine says:\n{}\nthe end of its console:\n{}",
                end.complaints.trim(),
                console::tail(&end.console, TAIL)
            );
            Ok(FAULT)
        }
    }
}

/// The streams of a program to come.
#[derive(Default)]
pub struct Streams(Vec<OwnedFd>);

impl Streams {
    /// Makes a stream. Returns our end of it, and the number of the program's end.
    pub fn add(&mut self) -> Result<(UnixStream, RawFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        let number = theirs.as_raw_fd();
        self.0.push(theirs.into());
        Ok((ours, number))
    }

    /// Lets the program of `command` have its ends, for as long as `command` lives.
    pub fn pass_to(self, command: &mut Command) {
        // SAFETY: the closure makes system calls only.
        unsafe {
            command.pre_exec(move || {
                for descriptor in &self.0 {
                    fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))?;
                }
                Ok(())
            });
        }
    }
}

/// A guest to be started: its machine, and our ends of what leads to it.
pub struct Start {
    pub machine: Command,
    /// What the machine says for itself.
    pub complaints: PipeReader,
    /// What serves the machine.
    pub daemons: Vec<Child>,
    /// The kernel's log.
    pub console: UnixStream,
    pub terminal: UnixStream,
    pub stdout: UnixStream,
    pub stderr: UnixStream,
    pub control: UnixStream,
}

impl Start {
    pub fn spawn(mut self) -> Result<Guest> {
        let machine = self.machine.spawn().with_context(|| {
            let program = self.machine.get_program().display().to_string();
            format!("cannot run {program} in the root")
        })?;
        // Our copies of the machine's ends would keep the readers from their end of file.
        drop(self.machine);
        let (sender, reports) = mpsc::channel();
        let lines = BufReader::new(self.control.try_clone()?).lines();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(line.parse()).is_err() {
                    break;
                }
            }
        });
        Ok(Guest {
            machine,
            daemons: self.daemons,
            console: collect(self.console),
            complaints: collect(self.complaints),
            outputs: vec![
                pass_on(self.stdout, io::stdout()),
                pass_on(self.stderr, io::stderr()),
            ],
            reports,
            control: self.control,
            terminal: self.terminal,
        })
    }
}

/// A running guest.
pub struct Guest {
    machine: Child,
    daemons: Vec<Child>,
    console: thread::JoinHandle<String>,
    complaints: thread::JoinHandle<String>,
    outputs: Vec<thread::JoinHandle<()>>,
    reports: mpsc::Receiver<Result<Report>>,
    control: UnixStream,
    terminal: UnixStream,
}

/// How a guest ended.
pub struct End {
    /// The command's exit status, if it came to that.
    pub status: Option<i32>,
    /// Why the guest could not be set up.
    failed: Option<String>,
    /// Whether the limit was reached.
    expired: bool,
    /// The kernel's log.
    console: String,
    /// What the machine and its daemons have said.
    complaints: String,
}

impl Guest {
    /// Joins the guest's terminal to this program's.
    fn attach_terminal(&mut self, terminal: &Terminal) -> Result<()> {
        self.outputs
            .push(pass_on(self.terminal.try_clone()?, io::stdout()));
        terminal.join(self.terminal.try_clone()?, self.control.try_clone()?)
    }

    /// Waits for the guest to power off, at most for `limit`. Joins its terminal to `terminal`.
    pub fn wait(mut self, limit: Duration, terminal: Option<&Terminal>) -> Result<End> {
        let mut deadline = Instant::now() + limit;
        let (mut status, mut failed, mut expired) = (None, None, false);
        let mut ended = false;
        while !ended {
            ended = self.machine.try_wait()?.is_some();
            if !ended && Instant::now() > deadline {
                expired = status.is_none() && failed.is_none();
                self.machine.kill()?;
                self.machine.wait()?;
                ended = true;
            }
            // Once the machine has ended the channel closes behind the last report.
            let pause = if ended {
                REPORT_LIMIT
            } else {
                Duration::from_millis(5)
            };
            while let Ok(report) = self.reports.recv_timeout(pause) {
                match report? {
                    // Before that, User Mode Linux would not notice what comes from here.
                    Report::Ready => terminal.map_or(Ok(()), |own| self.attach_terminal(own))?,
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
