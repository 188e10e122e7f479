// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Runs every test of the project, on this machine and in virtual machines, and counts.
//!
//! To be started in the top folder with the lab and the static programs built, as `make test` does.

mod suites;
mod tally;

use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::process::Command;
use std::process::ExitCode;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::bail;
use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use clap::Parser;

use suites::Part;
use suites::Stage;
use suites::Suite;
use suites::Work;
use tally::Tally;

/// Run the tests and print how many passed.
#[derive(Parser)]
struct Arguments {
    /// Run only what takes a minute
    #[arg(long, conflicts_with = "soak")]
    check: bool,
    /// Run what takes long instead
    #[arg(long)]
    soak: bool,
    /// The suites to run [default: all]
    suites: Vec<String>,
}

/// A suite that has been run.
struct Done {
    number: usize,
    tally: Tally,
    time: Duration,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    ensure!(
        Path::new(suites::LAB).exists() && Path::new("Kbuild").exists(),
        "start this by `make test`, or in the top folder after `make lab tools`"
    );
    let part = match (arguments.check, arguments.soak) {
        (true, _) => Part::Check,
        (_, true) => Part::Soak,
        _ => Part::Test,
    };
    let mut suites = suites::all()?;
    suites.retain(|suite| suite.parts.contains(&part));
    for name in &arguments.suites {
        if !suites.iter().any(|suite| suite.name == *name) {
            let names: Vec<_> = suites.iter().map(|suite| &*suite.name).collect();
            bail!("no suite is called {name}; there are: {}", names.join(" "));
        }
    }
    if !arguments.suites.is_empty() {
        suites.retain(|suite| arguments.suites.contains(&suite.name));
    }

    let done = Mutex::new(Vec::new());
    for stage in [Stage::Build, Stage::Use] {
        let queue = suites.iter().enumerate();
        let queue = Mutex::new(queue.filter(|(_, suite)| suite.stage == stage));
        let next = || queue.lock().ok()?.next();
        let work = || -> Result<()> {
            while let Some((number, suite)) = next() {
                let start = Instant::now();
                let tally = run(suite)?;
                let time = start.elapsed();
                let mut done = done.lock().expect("no thread panicked");
                done.push(Done {
                    number,
                    tally,
                    time,
                });
            }
            Ok(())
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..thread::available_parallelism()?.get())
                .map(|_| scope.spawn(work))
                .collect();
            workers
                .into_iter()
                .try_for_each(|worker| worker.join().expect("no thread panicked"))
        })?;
    }

    let mut done = done.into_inner().expect("no thread panicked");
    done.sort_by_key(|done| done.number);
    println!(
        "\n{:<20}{:>8}{:>8}{:>8}{:>8}",
        "suite", "passed", "failed", "skipped", "seconds"
    );
    for Done {
        number,
        tally,
        time,
    } in &done
    {
        print_row(&suites[*number].name, tally, *time);
    }
    let total: Tally = done.iter().map(|done| done.tally).sum();
    println!("\n{total}");
    Ok(match total {
        Tally {
            failed: 0,
            passed: 1..,
            ..
        } => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn print_row(name: &str, tally: &Tally, time: Duration) {
    let Tally {
        passed,
        failed,
        skipped,
    } = tally;
    println!(
        "{name:<20}{passed:>8}{failed:>8}{skipped:>8}{:>8.1}",
        time.as_secs_f32()
    );
}

fn run(suite: &Suite) -> Result<Tally> {
    match &suite.work {
        Work::Skip { reason } => {
            say(suite, &format!("skipped: {reason}"));
            Ok(Tally::SKIPPED)
        }
        Work::Tests(command) => {
            let (status, output) = shell(command, suite)?;
            let mut tally = Tally::of_tests(&output);
            if tally == Tally::default() {
                say(suite, "failed: ended without a result");
                tally = Tally::FAILED;
            } else if !status.success() && tally.failed == 0 {
                say(suite, "failed: ended with an error");
                tally.failed = 1;
            }
            Ok(tally)
        }
        Work::Cases(cases) => {
            let mut total = Tally::default();
            for (name, command) in *cases {
                let (status, output) = shell(command, suite)?;
                let (verdict, tally) = match status.code() {
                    Some(0) if !warns(&output) => ("ok", Tally::PASSED),
                    Some(suites::SKIPPED) => ("skipped", Tally::SKIPPED),
                    _ => ("FAILED", Tally::FAILED),
                };
                say(suite, &format!("test {name} ... {verdict}"));
                total += tally;
            }
            Ok(total)
        }
    }
}

/// Whether there is a warning, other than that cargo tries a download again.
fn warns(output: &str) -> bool {
    output
        .lines()
        .any(|line| line.contains("warning:") && !line.contains("spurious network error"))
}

/// Runs a command line, showing its output as it comes. Returns its exit status and the output.
fn shell(command: &str, suite: &Suite) -> Result<(ExitStatus, String)> {
    let environment = &suite.environment;
    let mut child = Command::new("sh")
        .args(["-ec", &format!("exec 2>&1\n{command}")])
        // A make among the cases is no part of the one that runs us.
        .env_remove("MAKEFLAGS")
        .env("LAB", suites::LAB)
        .env("TOOLS", suites::TOOLS)
        .env("KERNEL", &environment.kernel)
        .env("MACHINE", environment.machine)
        .env("CHECK", environment.check)
        .env("ARGUMENTS", environment.arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run sh")?;
    let pipe = child.stdout.take().context("the pipe was asked for")?;
    let mut output = String::new();
    for line in BufReader::new(pipe).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        say(suite, &line);
        output.push_str(&line);
        output.push('\n');
    }
    Ok((child.wait()?, output))
}

/// Prints a line of a suite, of which several may be running.
fn say(suite: &Suite, line: &str) {
    println!("{:<20}{line}", suite.name);
}
