// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Runs the commands of a page and compares their output with the output that the page shows.
//!
//! One shell runs the commands with one prompt, `#` or `$`, in their order. The other commands of
//! the page belong to another system.

mod page;
mod shell;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use clap::Parser;

use shell::Shell;

/// Run the commands of a page.
#[derive(Parser)]
struct Arguments {
    /// The page, in Markdown
    page: PathBuf,
    /// The prompt of the commands to run: # or $
    prompt: char,
}

fn main() -> Result<ExitCode> {
    let Arguments { page, prompt } = Arguments::parse();
    let name = page.display();
    let text = fs::read_to_string(&page).with_context(|| format!("cannot read {name}"))?;
    let examples = page::examples(&text).with_context(|| format!("{name}"))?;
    let mut shell = Shell::start()?;
    let (mut passed, mut failed) = (0, 0);
    for (number, example) in (1..).zip(&examples) {
        if example.prompt != prompt {
            continue;
        }
        let printed = shell.run(&example.command);
        if printed.as_ref().is_ok_and(|text| example.matches(text)) {
            println!("test learn::{number:02} ... ok");
            passed += 1;
            continue;
        }
        println!("test learn::{number:02} ... FAILED");
        failed += 1;
        println!("{name}:{}: {}", example.line, example.command);
        println!("the page shows:");
        show(example.output.iter().copied());
        match printed {
            Ok(text) => {
                println!("the command prints:");
                show(text.lines());
            }
            Err(error) => println!("{error:#}"),
        }
    }
    ensure!(
        passed + failed > 0,
        "{name} contains no command with the prompt {prompt}"
    );
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {verdict}. {passed} passed; {failed} failed; 0 ignored");
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn show<'a>(lines: impl Iterator<Item = &'a str>) {
    for line in lines {
        println!("    {line}");
    }
}
