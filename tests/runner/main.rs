// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Runs every test of the project, on this machine and in virtual machines, and counts.
//!
//! To be started in the top folder with the lab and the static programs built, as `make test` does.

mod suites;
mod tally;

use std::io;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use anyhow::bail;
use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use clap::Parser;

use suites::Part;
use suites::Suite;
use suites::Work;
use tally::Tally;

/// Run the tests and print how many passed.
#[derive(Parser)]
struct Arguments {
    /// Run only what takes a minute
    #[arg(long)]
    quick: bool,
    /// The suites to run [default: all]
    suites: Vec<String>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    ensure!(
        Path::new(suites::LAB).exists() && Path::new("Kbuild").exists(),
        "start this by `make test`, or in the top folder after `make lab tools`"
    );
    let mut suites = suites::all()?;
    for name in &arguments.suites {
        if !suites.iter().any(|suite| suite.name == *name) {
            let names: Vec<_> = suites.iter().map(|suite| &*suite.name).collect();
            bail!("no suite is called {name}; there are: {}", names.join(" "));
        }
    }
    suites.retain(|suite| match &arguments.suites[..] {
        [] if arguments.quick => suite.part != Part::Full,
        [] => suite.part != Part::Quick,
        names => names.contains(&suite.name),
    });

    let mut results = Vec::new();
    for suite in &suites {
        println!("\n==== {} ====", suite.name);
        let start = Instant::now();
        let tally = run(suite)?;
        results.push((&suite.name, tally, start.elapsed()));
    }

    println!(
        "\n{:<16}{:>8}{:>8}{:>8}{:>8}",
        "suite", "passed", "failed", "skipped", "seconds"
    );
    for (name, tally, time) in &results {
        print_row(name, tally, *time);
    }
    let total: Tally = results.iter().map(|(_, tally, _)| *tally).sum();
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
        "{name:<16}{passed:>8}{failed:>8}{skipped:>8}{:>8.1}",
        time.as_secs_f32()
    );
}

fn run(suite: &Suite) -> Result<Tally> {
    match &suite.work {
        Work::Skip { reason } => {
            println!("skipped: {reason}");
            Ok(Tally::SKIPPED)
        }
        Work::Tests(command) => {
            let (success, output) = shell(command, suite)?;
            let mut tally = Tally::of_tests(&output);
            if tally == Tally::default() {
                println!("failed: {} ended without a result", suite.name);
                tally = Tally::FAILED;
            } else if !success && tally.failed == 0 {
                println!("failed: {} ended with an error", suite.name);
                tally.failed = 1;
            }
            Ok(tally)
        }
        Work::Cases(cases) => {
            let mut total = Tally::default();
            for (name, command) in *cases {
                let (success, output) = shell(command, suite)?;
                let passed = success && !output.contains("warning:");
                println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
                total += if passed { Tally::PASSED } else { Tally::FAILED };
            }
            Ok(total)
        }
    }
}

/// Runs a command line, showing its output as it comes. Returns whether it succeeded, and the
/// output.
fn shell(command: &str, suite: &Suite) -> Result<(bool, String)> {
    let mut child = Command::new("sh")
        .args(["-ec", &format!("exec 2>&1\n{command}")])
        .env("LAB", suites::LAB)
        .env("TOOLS", suites::TOOLS)
        .env("KERNEL", &suite.kernel)
        .env("FLAVOUR", suite.flavour)
        .env("FILTER", suite.filter)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run sh")?;
    let mut pipe = child.stdout.take().context("the pipe was asked for")?;
    let mut output = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let len = pipe.read(&mut chunk)?;
        if len == 0 {
            break;
        }
        io::stdout().write_all(&chunk[..len])?;
        io::stdout().flush()?;
        output.extend_from_slice(&chunk[..len]);
    }
    let success = child.wait()?.success();
    Ok((success, String::from_utf8_lossy(&output).into_owned()))
}
