// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Programs that print checksums.

use std::env;
use std::ffi::CString;
use std::io::Read;
use std::io::Seek;
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

/// What Python's own library does, with a buffer for a short way into the interpreter and back.
const PYTHON: &str = "\
import sys, zlib
value = 1
with open(sys.argv[1], 'rb', buffering=0) as file:
    while data := file.read(1 << 20):
        value = zlib.adler32(data, value)
print(f'{value:08x}')
";

/// The programs that are compared.
pub struct Programs {
    adler32: PathBuf,
    peer: PathBuf,
    python: Option<PathBuf>,
    xrdadler32: Option<PathBuf>,
}

impl Programs {
    /// Looks for them: ours beside this program, others as a shell does.
    pub fn find() -> Result<Self> {
        let this = env::current_exe().context("cannot tell where this program is")?;
        let ours = |name| -> Result<PathBuf> {
            let path = this.with_file_name(name);
            ensure!(path.exists(), "{} is missing: make tools", path.display());
            Ok(path)
        };
        Ok(Self {
            adler32: ours("adler32")?,
            peer: ours("bench-cli-peer")?,
            python: python(),
            xrdadler32: in_path("xrdadler32"),
        })
    }

    /// `adler32 sum`, as it is or with so many threads.
    pub fn sum(&self, threads: Option<usize>) -> Command {
        let mut command = Command::new(&self.adler32);
        command.arg("sum");
        if let Some(threads) = threads {
            command.arg("--threads").arg(threads.to_string());
        }
        command
    }

    /// A program that reads, and sums by libdeflate or does not.
    pub fn peer(&self, work: &str, size: usize) -> Command {
        let mut command = Command::new(&self.peer);
        command.arg(work).arg(size.to_string());
        command
    }

    /// `zlib.adler32` over pieces of 1 MiB.
    pub fn python(&self) -> Option<Command> {
        let mut command = Command::new(self.python.as_ref()?);
        command.args(["-c", PYTHON]);
        Some(command)
    }

    /// The command of XRootD.
    pub fn xrdadler32(&self) -> Option<Command> {
        self.xrdadler32.as_ref().map(Command::new)
    }
}

/// The interpreter itself: what has its name may be a script that looks for one.
fn python() -> Option<PathBuf> {
    let mut command = Command::new(in_path("python3")?);
    command.args(["-c", "import sys, zlib; print(sys.executable)"]);
    let path = run(&mut command).ok()?;
    Some(String::from_utf8(path).ok()?.trim_end().into())
}

fn in_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// Makes a command work on one file.
pub fn on(mut command: Command, file: &Path) -> Command {
    command.arg(file);
    command
}

/// Removes the checksum that `xrdadler32` leaves in an extended attribute of each file, to print that
/// from then on.
pub fn forget(file: &Path) -> Result<()> {
    let path = CString::new(file.as_os_str().as_bytes())?;
    // SAFETY: Both are strings.
    let removed = unsafe { libc::removexattr(path.as_ptr(), c"user.XrdCks.adler32".as_ptr()) };
    match Errno::result(removed) {
        // The file has none, or none can have any.
        Ok(_) | Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(()),
        Err(errno) => {
            Err(errno).with_context(|| format!("cannot remove an attribute of {}", file.display()))
        }
    }
}

/// Runs a command to its end and returns what it prints. It prints to a file: who reads a pipe meanwhile
/// takes part in the time.
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

/// Runs a command and returns the checksum that it prints first.
pub fn checksum(command: &mut Command) -> Result<u32> {
    let output = String::from_utf8_lossy(&run(command)?).into_owned();
    let word = output.split_whitespace().next();
    word.and_then(|word| u32::from_str_radix(word, 16).ok())
        .with_context(|| format!("no checksum: {output}"))
}
