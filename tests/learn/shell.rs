// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A shell that runs commands one at a time.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Child;
use std::process::ChildStdin;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::Duration;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use nix::sys::signal::killpg;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// How long a command may take. Some commands boot a virtual machine, on a host that may be busy.
const LIMIT: Duration = Duration::from_secs(1800);

/// Reads commands that end in NUL, and ends the output of each command with NUL. Waits until the
/// kernel has tested a new hash, as a person who types the next command does: until then, the test
/// holds the module.
const SHELL: &str = r#"
    exec 2>&1
    while IFS= read -rd '' command; do
        eval "$command" </dev/null
        while grep -qs larval /proc/crypto; do sleep 0.01; done
        printf '\0'
    done"#;

/// A running shell.
pub struct Shell {
    child: Child,
    commands: ChildStdin,
    outputs: Receiver<String>,
}

impl Shell {
    /// Starts the shell.
    pub fn start() -> Result<Self> {
        let mut child = Command::new("bash")
            .args(["-c", SHELL])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // So that the processes of a command can be killed with the shell.
            .process_group(0)
            .spawn()
            .context("cannot run bash")?;
        let commands = child.stdin.take().context("the pipe exists")?;
        let output = child.stdout.take().context("the pipe exists")?;
        let (sender, outputs) = mpsc::channel();
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut bytes = Vec::new();
            while output.read_until(0, &mut bytes).is_ok() && bytes.pop() == Some(0) {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                if sender.send(text).is_err() {
                    break;
                }
                bytes.clear();
            }
        });
        Ok(Self {
            child,
            commands,
            outputs,
        })
    }

    /// Runs a command and returns what it prints. Kills the shell if the command takes too long.
    pub fn run(&mut self, command: &str) -> Result<String> {
        write!(self.commands, "{command}\0").context("the shell has ended")?;
        match self.outputs.recv_timeout(LIMIT) {
            Ok(output) => Ok(output),
            Err(RecvTimeoutError::Timeout) => {
                self.kill()?;
                bail!("the command did not end in {LIMIT:?}")
            }
            Err(RecvTimeoutError::Disconnected) => bail!("the command ended the shell"),
        }
    }

    fn kill(&mut self) -> Result<()> {
        killpg(Pid::from_raw(self.child.id().try_into()?), Signal::SIGKILL)?;
        self.child.wait()?;
        Ok(())
    }
}
