// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Runs all tests of the project, on the host and in virtual machines, and counts them.
//!
//! Start this program in the top directory after `make lab tools`; `make test` does both.
//!
//! Each suite is a trial of libtest-mimic, which schedules, lists and reports the suites. A suite
//! is one script with many cases. libtest-mimic cannot count the cases in a trial, so this program
//! adds up the `test result:` lines and prints the tables and the last line.

mod kernels;
mod slice;
mod suites;
mod tally;

use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use clap::Parser;
use libtest_mimic::Completion;
use libtest_mimic::Failed;
use libtest_mimic::Trial;

use suites::Stage;
use suites::Suite;
use tally::Tally;

/// Run the tests and print how many passed.
#[derive(Parser)]
struct Arguments {
    /// Run only the suites that take a minute
    #[arg(long, conflicts_with = "soak")]
    check: bool,
    /// Run the long suites instead
    #[arg(long)]
    soak: bool,
    /// List the suites
    #[arg(long)]
    list: bool,
    /// Write the table of kernels into README.md and docs/testing.md
    #[arg(long, conflicts_with_all = ["check", "soak", "list", "suites"])]
    update: bool,
    /// Names of suites to run [default: all]
    suites: Vec<String>,
}

/// The suites that have ended.
static DONE: Mutex<Vec<Row>> = Mutex::new(Vec::new());

/// A row of the table.
struct Row {
    place: usize,
    name: String,
    script: &'static str,
    /// The kernel in which the module was tested, as [`adler32_tests::kernel`] describes it.
    kernel: Option<String>,
    tally: Tally,
    time: Duration,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    ensure!(
        Path::new(suites::LAB).exists() && Path::new("Kbuild").exists(),
        "start this with `make test`, or in the top directory after `make lab tools`"
    );
    let scope = match (arguments.check, arguments.soak) {
        (true, _) => suites::CHECK,
        (_, true) => suites::SOAK,
        _ => suites::TEST,
    };
    let mut suites = suites::of(scope)?;
    for name in &arguments.suites {
        let names: Vec<_> = suites.iter().map(|suite| &*suite.name).collect();
        ensure!(
            names.contains(&&**name),
            "no suite is called {name}; the suites are: {}",
            names.join(" ")
        );
    }
    // Only the whole `make test` makes the table of kernels that the documents contain.
    let is_whole = scope == suites::TEST && arguments.suites.is_empty();
    let is_available = suites.iter().all(|suite| suite.unavailable.is_none());
    suites.retain(|suite| arguments.suites.is_empty() || arguments.suites.contains(&suite.name));

    if let Err(error) = slice::lengthen() {
        eprintln!("The tests take longer, because they cannot have longer slices of time: {error}");
    }
    let processors = thread::available_parallelism()?.get();
    let mut failed = false;
    let (build, rest): (Vec<_>, Vec<_>) = suites
        .into_iter()
        .enumerate()
        .partition(|(_, suite)| suite.stage == Stage::Build);
    // Guests often wait. Compilers do not, and are slower if there are more of them.
    for (stage, threads) in [(build, processors), (rest, processors + 1)] {
        if stage.is_empty() {
            continue;
        }
        let options = libtest_mimic::Arguments {
            list: arguments.list,
            test_threads: Some(threads),
            ..Default::default()
        };
        let trials = stage.into_iter().map(|(place, suite)| {
            Trial::ignorable_test(suite.name.clone(), move || run(place, &suite, scope))
        });
        failed |= libtest_mimic::run(&options, trials.collect()).has_failed();
    }
    if arguments.list {
        return Ok(ExitCode::SUCCESS);
    }

    let mut rows = DONE.lock().expect("no thread panicked");
    rows.sort_by_key(|row| row.place);
    println!("{:<20}  passed  failed skipped seconds", "suite");
    for Row {
        name, tally, time, ..
    } in rows.iter()
    {
        let Tally {
            passed,
            failed,
            skipped,
        } = tally;
        let time = time.as_secs_f32();
        println!("{name:<20}{passed:>8}{failed:>8}{skipped:>8}{time:>8.1}");
    }
    let table = kernels::table(&rows);
    if !table.is_empty() {
        print!("\n{table}");
    }
    let mut total: Tally = rows.iter().map(|row| row.tally).sum();
    if arguments.update {
        kernels::write_copies(&table)?;
    }
    if is_whole {
        total = total + kernels::check_copies(&table, is_available)?;
    }
    println!("\n{total}");
    Ok(if failed || total.failed > 0 || total.passed == 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Runs a suite and counts its cases.
fn run(place: usize, suite: &Suite, scope: &str) -> Result<Completion, Failed> {
    let start = Instant::now();
    let mut kernel = None;
    let (tally, outcome) = match &suite.unavailable {
        Some(reason) => (Tally::SKIPPED, Ok(Completion::ignored_with(reason))),
        None => match cases(suite, scope, &mut kernel) {
            Ok(tally) if tally.failed == 0 => (tally, Ok(Completion::Completed)),
            Ok(tally) => (tally, Err(tally.to_string().into())),
            Err(error) => (Tally::FAILED, Err(format!("{error:#}").into())),
        },
    };
    let row = Row {
        place,
        name: suite.name.clone(),
        script: suite.script,
        kernel,
        tally,
        time: start.elapsed(),
    };
    DONE.lock().expect("no thread panicked").push(row);
    outcome
}

/// Runs the script of a suite and returns the sum of its results. Sets `kernel` to the kernel that
/// the suite names in its output.
fn cases(suite: &Suite, scope: &str, kernel: &mut Option<String>) -> Result<Tally> {
    let mut child = Command::new("sh")
        .args(["-c", r#"exec bash "tests/suites/$0.sh" 2>&1"#, suite.script])
        // The script is not part of a make that runs this program.
        .env_remove("MAKEFLAGS")
        .env("LAB", suites::LAB)
        .env("TOOLS", suites::TOOLS)
        .env("SCOPE", scope)
        .env("KERNEL", &suite.kernel)
        .env("NEWEST", &suite.newest)
        .env("KERNELS", &suite.kernels)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run sh")?;
    let pipe = child.stdout.take().context("the pipe was asked for")?;
    let mut tally = Tally::default();
    for line in BufReader::new(pipe).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{:<20}{line}", suite.name);
        tally = tally + Tally::of_tests(&line);
        if let Some(name) = line.strip_prefix(adler32_tests::KERNEL) {
            *kernel = Some(name.trim_end().to_owned());
        }
    }
    let status = child.wait()?;
    ensure!(tally != Tally::default(), "it ended without a result");
    if !status.success() && tally.failed == 0 {
        println!("{:<20}failed: ended with {status}", suite.name);
        tally.failed = 1;
    }
    Ok(tally)
}
