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
    let examples = page::examples(&text).with_context(|| format!("{name}"))?;
    let mut session = Session::start()?;
    let (mut passed, mut failed) = (0, 0);
    for (number, example) in (1..).zip(&examples) {
        if example.prompt != prompt {
            continue;
        }
        let printed = session.run(&example.command);
        if printed.as_ref().is_ok_and(|text| example.foretells(text)) {
            println!("test learn::{number:02} ... ok");
            passed += 1;
            continue;
        }
        println!("test learn::{number:02} ... FAILED");
        failed += 1;
        println!("{name}:{}: {}", example.line, example.command);
        println!("the page says:");
        show(example.output.iter().copied());
        match printed {
            Ok(text) => {
                println!("it prints:");
                show(text.lines());
            }
            Err(error) => println!("but {error:#}"),
        }
    }
    ensure!(
        passed + failed > 0,
        "{name} has no command after the prompt {prompt}"
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
