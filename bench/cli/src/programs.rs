// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The programs that are compared.

use std::env;
use std::ffi::CString;
use std::io::Read;
use std::io::Seek;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use nix::errno::Errno;

/// Sums a file by Python's own library, in pieces so large that the interpreter takes little time.
const PYTHON: &str = "\
import sys, zlib
value = 1
with open(sys.argv[1], 'rb', buffering=0) as file:
    while data := file.read(1 << 20):
        value = zlib.adler32(data, value)
print(f'{value:08x}')
";

/// Where the programs are.
pub struct Programs {
    adler32: PathBuf,
    peer: PathBuf,
    python: Option<PathBuf>,
    xrdadler32: Option<PathBuf>,
}

impl Programs {
    /// Looks for our programs in the directory of this one, and for others in `PATH`.
    pub fn find() -> Result<Self> {
        let this = env::current_exe().context("cannot find the path of this program")?;
        let ours = |name| -> Result<PathBuf> {
            let path = this.with_file_name(name);
            ensure!(
                path.exists(),
                "{} is missing; make tools builds it",
                path.display()
            );
            Ok(path)
        };
        Ok(Self {
            adler32: ours("adler32")?,
            peer: ours("bench-cli-peer")?,
            python: python(),
            xrdadler32: in_path("xrdadler32"),
        })
    }

    /// Returns `adler32 sum`, with its defaults or with so many threads.
    pub fn sum(&self, threads: Option<usize>) -> Command {
        let mut command = Command::new(&self.adler32);
        command.arg("sum");
        if let Some(threads) = threads {
            command.arg("--threads").arg(threads.to_string());
        }
        command
    }

    /// Returns bench-cli-peer, which reads pieces of `size` bytes: in order, if `work` is `read`;
    /// in order, to sum them, if it is `libdeflate`; and 16 at a time past the page cache, if it
    /// is `direct`.
    pub fn peer(&self, work: &str, size: usize) -> Command {
        let mut command = Command::new(&self.peer);
        command.arg(work).arg(size.to_string());
        command
    }

    /// Returns `zlib.adler32` on pieces of 1 MiB.
    pub fn python(&self) -> Option<Command> {
        let mut command = Command::new(self.python.as_ref()?);
        command.args(["-c", PYTHON]);
        Some(command)
    }

    /// Returns the command of XRootD.
    pub fn xrdadler32(&self) -> Option<Command> {
        self.xrdadler32.as_ref().map(Command::new)
    }
}

/// Returns the interpreter itself, because `python3` may be a script that looks for an interpreter.
fn python() -> Option<PathBuf> {
    let mut command = Command::new(in_path("python3")?);
    command.args(["-c", "import sys, zlib; print(sys.executable)"]);
    let path = run(&mut command).ok()?;
    Some(String::from_utf8(path).ok()?.trim_end().into())
}

fn in_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

/// Appends a file to the arguments of a command.
pub fn on(mut command: Command, file: &Path) -> Command {
    command.arg(file);
    command
}

/// Removes the extended attribute in which `xrdadler32` keeps the checksum of a file. Otherwise it
/// would print the kept checksum.
pub fn forget(file: &Path) -> Result<()> {
    let path = CString::new(file.as_os_str().as_bytes())?;
    // SAFETY: Both arguments are strings with a final NUL.
    let removed = unsafe { libc::removexattr(path.as_ptr(), c"user.XrdCks.adler32".as_ptr()) };
    match Errno::result(removed) {
        // The file has no such attribute, or the file system does not support attributes.
        Ok(_) | Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(()),
        Err(errno) => {
            Err(errno).with_context(|| format!("cannot remove an attribute of {}", file.display()))
        }
    }
}

/// Runs a command and returns its standard output. The output goes to a file, because reading from
/// a pipe at the same time would add to the time measured.
pub fn run(command: &mut Command) -> Result<Vec<u8>> {
    let mut printed = tempfile::tempfile().context("cannot make a temporary file")?;
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .stdout(printed.try_clone()?)
        .stderr(Stdio::piped())
        .spawn()
        .and_then(Child::wait_with_output)
        .with_context(|| format!("cannot run {name}"))?;
    ensure!(
        output.status.success(),
        "{name}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    let mut text = Vec::new();
    printed.rewind()?;
    printed.read_to_end(&mut text)?;
    Ok(text)
}

/// Runs a command and returns the most memory that it had at a time, in KiB.
pub fn peak_memory(command: &mut Command) -> Result<i64> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    let mut status = 0;
    // SAFETY: All bytes of the structure may be zero.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: The call writes a status and a structure.
    let ended = unsafe { libc::wait4(child.id() as i32, &mut status, 0, &mut usage) };
    Errno::result(ended).context("wait4")?;
    ensure!(status == 0, "the command failed");
    Ok(usage.ru_maxrss)
}

/// Runs a command and returns the checksum at the beginning of its output.
pub fn checksum(command: &mut Command) -> Result<u32> {
    let output = String::from_utf8_lossy(&run(command)?).into_owned();
    let word = output.split_whitespace().next();
    word.and_then(|word| u32::from_str_radix(word, 16).ok())
        .with_context(|| format!("the output contains no checksum: {output}"))
}
