// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The first process in the guest: sets up the system, runs the command, reports the command's
//! exit status and powers off.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use nix::libc;
use nix::mount::mount;
use nix::mount::MsFlags;
use nix::pty::Winsize;
use nix::sys::reboot::reboot;
use nix::sys::reboot::RebootMode;
use nix::sys::signal::kill;
use nix::sys::signal::Signal;
use nix::sys::termios::cfmakeraw;
use nix::sys::termios::tcdrain;
use nix::sys::termios::tcgetattr;
use nix::sys::termios::tcsetattr;
use nix::sys::termios::SetArg;
use nix::unistd::chdir;
use nix::unistd::chroot;
use nix::unistd::setsid;
use nix::unistd::sync;
use nix::unistd::Pid;
use rust_kernel_kit::command::output;

use crate::job::port;
use crate::job::Job;
use crate::job::Report;
use crate::job::DIR_TAG;
use crate::job::FILE;
use crate::job::UML;
use crate::sandbox::mount_new;
use crate::sandbox::reap;

nix::ioctl_write_ptr_bad!(set_window_size, libc::TIOCSWINSZ, Winsize);
nix::ioctl_write_int_bad!(set_controlling_terminal, libc::TIOCSCTTY);

/// How long the kernel may take to make a port.
const PORT_LIMIT: Duration = Duration::from_secs(10);

/// Runs init. The guest is off before this function could return.
pub fn main() -> ! {
    if let Err(error) = work() {
        // Without a port, only the console reaches the host.
        println!("lab: {error:#}");
    }
    let error = reboot(RebootMode::RB_POWER_OFF);
    panic!("cannot power off: {error:?}");
}

fn work() -> Result<()> {
    mount_new("devtmpfs", Path::new("/dev"), "")?;
    let transport = Transport::find();
    let mut control = transport.open_port(port::CONTROL)?;
    let report = match set_up(transport).and_then(|job| run(transport, &job, &mut control)) {
        Ok(status) => Report::Exit(status),
        Err(error) => Report::Failed(format!("{error:#}")),
    };
    sync();
    writeln!(control, "{report}")?;
    transport.drain(&control)
}

/// How the guest reaches the host.
#[derive(Clone, Copy)]
enum Transport {
    Virtio,
    Uml,
}

impl Transport {
    fn find() -> Self {
        match std::env::var_os(UML) {
            Some(_) => Self::Uml,
            None => Self::Virtio,
        }
    }

    /// Returns the path of the terminal that leads to the host's.
    fn terminal(self) -> String {
        match self {
            Self::Virtio => "/dev/hvc0".to_owned(),
            Self::Uml => format!("/dev/ttyS{}", port::TERMINAL),
        }
    }

    /// Opens a port to the host. The kernel makes virtio ports a moment after their device.
    fn open_port(self, number: u32) -> Result<File> {
        let path = match self {
            Self::Virtio => format!("/dev/vport0p{number}"),
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

    /// Waits until the host has received what was written to `port`.
    fn drain(self, port: &File) -> Result<()> {
        match self {
            Self::Virtio => Ok(()),
            Self::Uml => Ok(tcdrain(port)?),
        }
    }

    /// Mounts the host's directory `dir` at the same path.
    fn mount_dir(self, dir: &str) -> Result<()> {
        let (device, fstype, options) = match self {
            Self::Virtio => (DIR_TAG, "virtiofs", None),
            Self::Uml => ("host", "hostfs", Some(dir)),
        };
        mount(Some(device), dir, Some(fstype), MsFlags::empty(), options)
            .with_context(|| format!("cannot mount {dir}"))
    }
}

/// Makes a writable root over the shared one, and a small system in it. Returns the job.
fn set_up(transport: Transport) -> Result<Job> {
    let job = Job::from_bytes(fs::read(FILE).context(FILE)?)?;
    // What the guest writes stays in memory, over the read-only root. The overlay mount makes the
    // kernel load a module, for which modprobe needs /proc.
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
    for (name, file) in [
        ("fd", "fd"),
        ("stdin", "fd/0"),
        ("stdout", "fd/1"),
        ("stderr", "fd/2"),
    ] {
        std::os::unix::fs::symlink(format!("/proc/self/{file}"), format!("/dev/{name}"))?;
    }
    fs::create_dir_all(&job.dir)?;
    transport.mount_dir(&job.dir)?;
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

/// Runs a program of the guest, which must succeed.
fn tool(program: &str, arguments: &[&str]) -> Result<()> {
    output(
        Command::new(program)
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin"),
    )
    .map(drop)
}

/// Runs the job's command and returns its exit status as a shell would.
fn run(transport: Transport, job: &Job, control: &mut File) -> Result<i32> {
    let (program, arguments) = job.command.split_first().context("no command")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(&job.dir)
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
    let mut errors: Box<dyn Write> = if job.terminal {
        let opened = attach_terminal(&transport.terminal(), &mut command)?;
        terminal = Some(opened.try_clone()?);
        Box::new(opened)
    } else {
        let (from_stdout, stdout) = io::pipe()?;
        let (from_stderr, stderr) = io::pipe()?;
        let errors = stderr.try_clone()?;
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        // A port can be opened only once. With a pipe before it, /dev/stdout works as usual.
        for (mut from, number) in [(from_stdout, port::STDOUT), (from_stderr, port::STDERR)] {
            let mut to = transport.open_port(number)?;
            pumps.push(thread::spawn(move || {
                pump(&mut from, &mut to)?;
                transport.drain(&to)
            }));
        }
        Box::new(errors)
    };
    writeln!(control, "{}", Report::Ready)?;
    if let Some(terminal) = terminal {
        follow_size(control.try_clone()?, terminal)?;
    }
    let spawned = command.spawn();
    // `command` owns copies of the pipes' write ends. The pumps would wait for them.
    drop(command);
    let status = match spawned {
        Ok(child) => reap(Pid::from_raw(child.id().try_into()?))?,
        Err(error) => {
            writeln!(errors, "lab: cannot run {program}: {error}")?;
            127
        }
    };
    drop(errors);
    // Processes that the command left running may hold the pipes open.
    let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    for pump in pumps {
        if let Ok(result) = pump.join() {
            result.context("cannot pass on the command's output")?;
        }
    }
    Ok(status)
}

/// Copies `from` to `to`. [`io::copy`] would call splice(2), which takes an empty pipe for one at
/// its end when it splices to a port.
fn pump(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            count => to.write_all(&buffer[..count])?,
        }
    }
}

/// Makes the terminal at the path `terminal` the controlling terminal of `command`.
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
    // SAFETY: The closure only makes system calls, which are allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            setsid()?;
            set_controlling_terminal(0, 0)?;
            Ok(())
        });
    }
    Ok(terminal)
}

/// Sets the size of `terminal` to the size that the host sends through `control`, now and after
/// each change.
fn follow_size(control: File, terminal: File) -> Result<()> {
    let mut lines = BufReader::new(control).lines();
    let mut set_size = move || -> Result<()> {
        let line = lines.next().context("no size")??;
        let (rows, columns) = line.split_once(' ').context("no size")?;
        let size = Winsize {
            ws_row: rows.parse()?,
            ws_col: columns.parse()?,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: `terminal` owns the descriptor, and `size` is a valid `Winsize` that outlives the
        // call.
        unsafe { set_window_size(terminal.as_raw_fd(), &size) }?;
        Ok(())
    };
    set_size()?;
    thread::spawn(move || while set_size().is_ok() {});
    Ok(())
}
