// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Runs the commands of a page and compares what they print with what the page says.
//!
//! The commands with one prompt are run where this program is, in their order, by one shell.

mod page;
mod session;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use clap::Parser;

use session::Session;

/// Run the commands of a page.
#[derive(Parser)]
struct Arguments {
    /// The page, in Markdown
    page: PathBuf,
    /// Which commands: those with the prompt # or $
    prompt: char,
}

fn main() -> Result<ExitCode> {
    let Arguments { page, prompt } = Arguments::parse();
    let name = page.display();
    let text = fs::read_to_string(&page).with_context(|| format!("cannot read {name}"))?;
    let mut examples = page::examples(&text).with_context(|| format!("{name}"))?;
    examples.retain(|example| example.prompt == prompt);
    ensure!(
        !examples.is_empty(),
        "{name} has no command after the prompt {prompt}"
    );

    let mut session = Session::start()?;
    let mut failed = 0;
    for (number, example) in (1..).zip(&examples) {
        let printed = session.run(&example.command);
        let passed = printed
            .as_ref()
            .is_ok_and(|output| page::agree(&example.output, &lines(output)));
        let verdict = if passed { "ok" } else { "FAILED" };
        println!("test learn::{number:02} ... {verdict}");
        if !passed {
            failed += 1;
            println!("{name}:{}: {}", example.line, example.command);
            println!("the page says:");
            show(&example.output);
            match printed {
                Ok(output) => {
                    println!("it prints:");
                    show(&lines(&output));
                }
                Err(error) => println!("but {error:#}"),
            }
        }
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    let passed = examples.len() - failed;
    println!("test result: {verdict}. {passed} passed; {failed} failed; 0 ignored");
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn lines(output: &str) -> Vec<&str> {
    output.trim_end().lines().collect()
}

fn show(lines: &[&str]) {
    for line in lines {
        println!("    {line}");
    }
}
