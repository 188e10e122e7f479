// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Runs other programs that must succeed.

use std::collections::VecDeque;
use std::fmt::Display;
use std::fs::File;
use std::io::BufRead;
use std::io::BufReader;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use indicatif::ProgressBar;
use indicatif::ProgressStyle;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::pipe;

/// How many lines of output are printed when a step fails.
const TAIL: usize = 40;

/// Runs `command` and returns what it prints. If `command` fails, the error contains its standard
/// error.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| cannot_run(command))?;
    if !output.status.success() {
        bail!(
            "{} failed ({}): {}",
            name(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs `command` as a step called `what`, which may take long.
///
/// On a terminal, a spinner shows the last line of output; elsewhere, one line is printed when the
/// step begins and one when it ends. The output is printed only if `command` fails.
pub fn step(what: &str, command: &mut Command) -> Result<()> {
    let started = Instant::now();
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template(
        "{spinner} {prefix} [{elapsed}] {wide_msg:.dim}",
    )?);
    bar.set_prefix(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    if bar.is_hidden() {
        note(format_args!("{what} ..."));
    }

    let (reader, writer) = pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    // If this process is killed, the command shall end, too. Make ends its own commands then.
    // SAFETY: The closure only calls prctl(), which may be called between fork() and exec().
    unsafe {
        command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGTERM)?));
    }
    let mut child = command.spawn().with_context(|| cannot_run(command))?;
    // `command` owns copies of the pipe's write end. The loop below would wait for them.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let mut tail = VecDeque::new();
    for line in BufReader::new(File::from(reader)).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).trim_end().to_owned();
        bar.set_message(line.clone());
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(line);
    }
    let status = child.wait()?;
    bar.finish_and_clear();
    if !status.success() {
        for line in &tail {
            eprintln!("{line}");
        }
        bail!("{what}: {} failed ({status})", name(command));
    }
    note(format_args!(
        "{what}: {:.0} s",
        started.elapsed().as_secs_f32()
    ));
    Ok(())
}

/// Prints `message` to standard error, after the name that this program was called by.
pub fn note(message: impl Display) {
    let called = std::env::args_os().next().unwrap_or_default();
    let program = Path::new(&called).file_name().unwrap_or_default();
    eprintln!("{}: {message}", program.to_string_lossy());
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn cannot_run(command: &Command) -> String {
    format!("cannot run {}", name(command))
}
