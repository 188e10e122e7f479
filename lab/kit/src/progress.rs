// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Long steps: a spinner with the last line of output on a terminal, plain lines otherwise.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use nix::unistd::pipe;

/// How much of a failed command's output is shown.
const TAIL: usize = 40;

/// Runs `command` as one step called `what`; its output is shown only if it fails.
pub fn step(what: &str, command: &mut Command) -> Result<()> {
    let started = Instant::now();
    let program = program();
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template(
        "{spinner} {prefix} [{elapsed}] {wide_msg:.dim}",
    )?);
    bar.set_prefix(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    if bar.is_hidden() {
        eprintln!("{program}: {what} ...");
    }

    let (reader, writer) = pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))?;
    // Our copies of the pipe's write end would keep the loop below from its end of file.
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
        bail!(
            "{what}: {} failed ({status})",
            command.get_program().to_string_lossy()
        );
    }
    eprintln!(
        "{program}: {what}: {:.0} s",
        started.elapsed().as_secs_f32()
    );
    Ok(())
}

/// The name that this program was called by.
fn program() -> String {
    let called = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&called).file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
