// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A running guest, as the host sees it: the process of QEMU or User Mode Linux, and the streams
//! that connect the host with the guest.

use std::fs;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::PipeReader;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use nix::fcntl::fcntl;
use nix::fcntl::FcntlArg;
use nix::fcntl::FdFlag;

use crate::job::Job;
use crate::job::Report;
use crate::root::GUEST_DIR;
use crate::terminal::Terminal;

/// A directory in the root. The root's /run is private to this process.
pub const RUN: &str = "run/lab";
/// The directory in [`RUN`] with the root as guests see it.
pub const SHARE: &str = "share";
/// How long the last report may take to arrive.
const REPORT_LIMIT: Duration = Duration::from_secs(10);
/// How long a guest may take to power off after its command has ended.
const OFF_LIMIT: Duration = Duration::from_secs(20);

/// The options of a virtual machine.
pub struct VmOptions {
    pub processors: u32,
    /// The size of the memory in MiB.
    pub memory: u32,
    /// Whether the clock counts executed instructions.
    pub icount: bool,
    /// Additional kernel parameters.
    pub append: String,
    /// How long the command may run.
    pub limit: Duration,
    /// Modules to install in addition to the kernel's own.
    pub modules: Vec<PathBuf>,
}

/// Writes the job file for the guest.
pub fn write_job(share: &Path, job: &Job) -> Result<()> {
    fs::write(share.join(GUEST_DIR).join("job"), job.to_bytes())
        .context("cannot write the guest's job")
}

/// The streams of a program that is to be started.
#[derive(Default)]
pub struct Streams(Vec<OwnedFd>);

impl Streams {
    /// Makes a stream. Returns the host's end, and the number of the program's end.
    pub fn add(&mut self) -> Result<(UnixStream, RawFd)> {
        let (host, program) = UnixStream::pair()?;
        let number = program.as_raw_fd();
        self.0.push(program.into());
        Ok((host, number))
    }

    /// Lets the program that `command` runs inherit its ends. `command` keeps the ends open until
    /// it is dropped.
    pub fn pass_to(self, command: &mut Command) {
        // SAFETY: The closure only makes system calls, which are allowed between fork and exec. It
        // owns the descriptors.
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

/// A guest that is to be started.
pub struct Start {
    /// Runs QEMU or User Mode Linux.
    pub process: Command,
    /// What `process` and `daemons` print.
    pub messages: PipeReader,
    /// The running daemons that serve `process`.
    pub daemons: Vec<Child>,
    /// The guest's console, which shows the kernel log.
    pub console: UnixStream,
    pub terminal: UnixStream,
    pub stdout: UnixStream,
    pub stderr: UnixStream,
    pub control: UnixStream,
}

impl Start {
    /// Starts the guest.
    pub fn spawn(mut self) -> Result<Guest> {
        let process = self.process.spawn().with_context(|| {
            let program = self.process.get_program().display().to_string();
            format!("cannot run {program} in the root")
        })?;
        // The command owns copies of the program's ends. The readers would wait for them.
        drop(self.process);
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
            process,
            daemons: self.daemons,
            console: collect(self.console),
            messages: collect(self.messages),
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
    process: Child,
    daemons: Vec<Child>,
    console: thread::JoinHandle<String>,
    messages: thread::JoinHandle<String>,
    outputs: Vec<thread::JoinHandle<()>>,
    reports: mpsc::Receiver<Result<Report>>,
    control: UnixStream,
    terminal: UnixStream,
}

/// How a guest ended.
pub struct End {
    /// The command's exit status, if the command ran.
    pub status: Option<i32>,
    /// Why the guest could not be set up.
    pub failed: Option<String>,
    /// Whether the time limit was reached.
    pub expired: bool,
    /// What the guest's console showed: the kernel log.
    pub console: String,
    /// What QEMU or User Mode Linux and their daemons printed.
    pub messages: String,
}

impl Guest {
    /// Connects the guest's terminal with the lab's own.
    fn attach_terminal(&mut self, terminal: &Terminal) -> Result<()> {
        self.outputs
            .push(pass_on(self.terminal.try_clone()?, io::stdout()));
        terminal.connect(self.terminal.try_clone()?, self.control.try_clone()?)
    }

    /// Waits for the guest to power off, at most for `limit`. Connects the guest's terminal with
    /// `terminal`.
    pub fn wait(mut self, limit: Duration, terminal: Option<&Terminal>) -> Result<End> {
        let mut deadline = Instant::now() + limit;
        let (mut status, mut failed, mut expired) = (None, None, false);
        let mut ended = false;
        while !ended {
            ended = self.process.try_wait()?.is_some();
            if !ended && Instant::now() > deadline {
                expired = status.is_none() && failed.is_none();
                self.process.kill()?;
                self.process.wait()?;
                ended = true;
            }
            // After the process has ended, the channel closes after the last report.
            let pause = if ended {
                REPORT_LIMIT
            } else {
                Duration::from_millis(5)
            };
            while let Ok(report) = self.reports.recv_timeout(pause) {
                match report? {
                    // Only now does User Mode Linux receive typed bytes.
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
            messages: self.messages.join().unwrap_or_default(),
        })
    }
}

/// Reads all of `from` in a new thread.
fn collect(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).replace('\r', "")
    })
}

/// Copies `from` to `to` in a new thread. When writing fails, `from` is still read, so that the
/// guest can continue.
fn pass_on(mut from: UnixStream, mut to: impl Write + Send + 'static) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let _ = to.write_all(&buffer[..count]).and_then(|()| to.flush());
        }
    })
}
