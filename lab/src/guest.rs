// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What runs as the first process in the guest: makes the system around the command, runs it,
//! reports its status and powers off.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::libc;
use nix::mount::{mount, MsFlags};
use nix::pty::Winsize;
use nix::sys::reboot::{reboot, RebootMode};
use nix::sys::signal::{kill, Signal};
use nix::sys::termios::{cfmakeraw, tcdrain, tcgetattr, tcsetattr, SetArg};
use nix::unistd::{chdir, chroot, setsid, sync, Pid};

use crate::job::{port, Job, Report, FILE, FOLDER_TAG, UML};
use crate::sandbox::{mount_new, reap};

nix::ioctl_write_ptr_bad!(set_window_size, libc::TIOCSWINSZ, Winsize);
nix::ioctl_write_int_bad!(set_controlling_terminal, libc::TIOCSCTTY);

/// How long a port may take to appear.
const PORT_LIMIT: Duration = Duration::from_secs(10);

/// Does all of it; the machine is off when it would return.
pub fn main() -> ! {
    if let Err(error) = work() {
        // Without a port to the host the console is all there is.
        println!("lab: {error:#}");
    }
    let error = reboot(RebootMode::RB_POWER_OFF);
    panic!("cannot power off: {error:?}");
}

fn work() -> Result<()> {
    mount_new("devtmpfs", Path::new("/dev"), "")?;
    let machine = Machine::find();
    let mut control = machine.open_port(port::CONTROL)?;
    let report = match set_up(machine).and_then(|job| run(machine, &job, &mut control)) {
        Ok(status) => Report::Exit(status),
        Err(error) => Report::Failed(format!("{error:#}")),
    };
    sync();
    writeln!(control, "{report}")?;
    machine.drain(&control)
}

/// What the guest runs in, by which it reaches its host.
#[derive(Clone, Copy)]
enum Machine {
    Qemu,
    Uml,
}

impl Machine {
    fn find() -> Self {
        match std::env::var_os(UML) {
            Some(_) => Self::Uml,
            None => Self::Qemu,
        }
    }

    /// The terminal on the host's side.
    fn terminal(self) -> String {
        match self {
            Self::Qemu => "/dev/hvc0".to_owned(),
            Self::Uml => format!("/dev/ttyS{}", port::TERMINAL),
        }
    }

    /// Opens a port to the host; the kernel makes those of QEMU a moment after the device.
    fn open_port(self, number: u32) -> Result<File> {
        let path = match self {
            Self::Qemu => format!("/dev/vport0p{number}"),
            Self::Uml => format!("/dev/ttyS{number}"),
        };
        let started = Instant::now();
        let port = loop {
            match OpenOptions::new().read(true).write(true).open(&path) {
                Err(error)
                    if started.elapsed() < PORT_LIMIT
                        && error.kind() == io::ErrorKind::NotFound =>
                {
                    thread::sleep(Duration::from_millis(2));
                }
                result => break result.context(path)?,
            }
        };
        if let Self::Uml = self {
            let mut raw = tcgetattr(&port)?;
            cfmakeraw(&mut raw);
            tcsetattr(&port, SetArg::TCSANOW, &raw)?;
        }
        Ok(port)
    }

    /// Waits until the host has what was written to `port`.
    fn drain(self, port: &File) -> Result<()> {
        match self {
            Self::Qemu => Ok(()),
            Self::Uml => Ok(tcdrain(port)?),
        }
    }

    /// Mounts the host's folder at the same path.
    fn mount_folder(self, folder: &str) -> Result<()> {
        let (source, fstype, options) = match self {
            Self::Qemu => (FOLDER_TAG, "virtiofs", None),
            Self::Uml => ("host", "hostfs", Some(folder)),
        };
        mount(
            Some(source),
            folder,
            Some(fstype),
            MsFlags::empty(),
            options,
        )
        .with_context(|| format!("cannot mount {folder}"))
    }
}

/// Makes a writable root over the shared one and everything a small system has.
fn set_up(machine: Machine) -> Result<Job> {
    let job = Job::from_bytes(fs::read(FILE).context(FILE)?)?;
    // Writes of the guest end in memory, over the read-only root. The first mount makes the
    // kernel load the overlay module, for which modprobe wants /proc.
    mount_new("proc", Path::new("/proc"), "")?;
    mount_new("tmpfs", Path::new("/mnt"), "")?;
    for dir in ["upper", "work", "root"] {
        fs::create_dir(Path::new("/mnt").join(dir))?;
    }
    let root = Path::new("/mnt/root");
    mount_new(
        "overlay",
        root,
        "lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work",
    )?;
    chdir(root)?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)?;
    chroot(".")?;

    for (fstype, dir, options) in [
        ("proc", "/proc", ""),
        ("sysfs", "/sys", ""),
        ("devtmpfs", "/dev", "mode=755"),
        ("devpts", "/dev/pts", "gid=5,mode=620,ptmxmode=666"),
        ("tmpfs", "/dev/shm", "mode=1777"),
        ("tmpfs", "/run", "mode=755"),
        ("tmpfs", "/tmp", "mode=1777"),
        ("debugfs", "/sys/kernel/debug", ""),
        ("cgroup2", "/sys/fs/cgroup", ""),
    ] {
        fs::create_dir_all(dir)?;
        mount_new(fstype, Path::new(dir), options)?;
    }
    for (link, target) in [
        ("fd", "fd"),
        ("stdin", "fd/0"),
        ("stdout", "fd/1"),
        ("stderr", "fd/2"),
    ] {
        std::os::unix::fs::symlink(format!("/proc/self/{target}"), format!("/dev/{link}"))?;
    }
    fs::create_dir_all(&job.folder)?;
    machine.mount_folder(&job.folder)?;
    nix::unistd::sethostname("lab")?;
    tool("ip", &["link", "set", "lo", "up"])?;
    tool("/usr/lib/systemd/systemd-udevd", &["--daemon"])?;
    tool(
        "udevadm",
        &[
            "trigger",
            "--action=add",
            "--settle",
            "--subsystem-match=misc",
        ],
    )?;
    Ok(job)
}

/// Runs a program of the guest that must succeed.
fn tool(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        anyhow::bail!(
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

/// Runs the job's command and returns its status as a shell would.
fn run(machine: Machine, job: &Job, control: &mut File) -> Result<i32> {
    let (program, arguments) = job.command.split_first().context("no command")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(&job.folder)
        .env_clear()
        .envs([
            ("PATH", job.path.as_str()),
            ("HOME", "/root"),
            ("USER", "root"),
            ("LANG", "C.UTF-8"),
            ("TERM", job.term.as_str()),
        ]);
    let mut pumps = Vec::new();
    let mut terminal = None;
    let mut complaints: Box<dyn Write> = if job.terminal {
        let opened = attach_terminal(&machine.terminal(), &mut command)?;
        terminal = Some(opened.try_clone()?);
        Box::new(opened)
    } else {
        let (output, stdout) = io::pipe()?;
        let (errors, stderr) = io::pipe()?;
        let complaints = stderr.try_clone()?;
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        // A port can be opened once only; behind a pipe, /dev/stdout works like anywhere.
        for (mut from, number) in [(output, port::STDOUT), (errors, port::STDERR)] {
            let mut to = machine.open_port(number)?;
            pumps.push(thread::spawn(move || {
                pump(&mut from, &mut to)?;
                machine.drain(&to)
            }));
        }
        Box::new(complaints)
    };
    writeln!(control, "{}", Report::Ready)?;
    if let Some(terminal) = terminal {
        follow_size(control.try_clone()?, terminal)?;
    }
    let spawned = command.spawn();
    // Our copies of the pipes' write ends would keep the pumps going.
    drop(command);
    let status = match spawned {
        Ok(child) => reap(Pid::from_raw(child.id().try_into()?))?,
        Err(error) => {
            writeln!(complaints, "lab: cannot run {program}: {error}")?;
            127
        }
    };
    drop(complaints);
    // What the command has left behind may hold the pipes open.
    let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    for pump in pumps {
        if let Ok(result) = pump.join() {
            result.context("cannot pass on the command's output")?;
        }
    }
    Ok(status)
}

/// Copies `from` to `to`. Not [`io::copy`]: that uses splice(2), for which an empty pipe that is
/// spliced to a port is at its end.
fn pump(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            count => to.write_all(&buffer[..count])?,
        }
    }
}

/// Gives `command` the terminal at the path `terminal`, as the leader of a session of its own.
fn attach_terminal(terminal: &str, command: &mut Command) -> Result<File> {
    let terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .open(terminal)
        .with_context(|| terminal.to_owned())?;
    command
        .stdin(terminal.try_clone()?)
        .stdout(terminal.try_clone()?)
        .stderr(terminal.try_clone()?);
    // SAFETY: the closure makes system calls only.
    unsafe {
        command.pre_exec(|| {
            setsid()?;
            set_controlling_terminal(0, 0)?;
            Ok(())
        });
    }
    Ok(terminal)
}

/// Gives `terminal` the size that the host tells through `control`, now and whenever it changes.
fn follow_size(control: File, terminal: File) -> Result<()> {
    let mut lines = BufReader::new(control).lines();
    let mut take_one = move || -> Result<()> {
        let line = lines.next().context("no size")??;
        let (rows, columns) = line.split_once(' ').context("no size")?;
        let size = Winsize {
            ws_row: rows.parse()?,
            ws_col: columns.parse()?,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: the terminal is open and the size is whole.
        unsafe { set_window_size(terminal.as_raw_fd(), &size) }?;
        Ok(())
    };
    take_one()?;
    thread::spawn(move || while take_one().is_ok() {});
    Ok(())
}
