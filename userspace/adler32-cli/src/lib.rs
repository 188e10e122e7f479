// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The commands `adler32` and `adler32sum`.

#![warn(missing_docs)]

mod bench;
mod check;
mod cli;
mod combine;
mod console;
mod info;
mod json;
mod line;
mod misuse;
mod ordered;
mod part;
mod progress;
mod quote;
mod sum;
mod walk;

use std::ffi::OsString;

pub use crate::cli::commands;

use crate::cli::Asked;
use crate::cli::Command;
use crate::console::Console;

/// Runs the command that `arguments`, of which the first is the program's name, ask for. Returns whether
/// all went well.
pub fn run(arguments: &[OsString]) -> bool {
    console::occupy_closed_files();
    let invocation = cli::parse(arguments);
    let mut console = Console::new(invocation.program);
    let well = match invocation.asked {
        Ok(Asked::Run(Command::Sum(args))) => sum::run(&args, &mut console),
        Ok(Asked::Run(Command::Combine(args))) => combine::run(&args, &mut console),
        Ok(Asked::Run(Command::Bench(args))) => bench::run(&args, &mut console),
        Ok(Asked::Run(Command::Info(args))) => info::run(&args, &mut console),
        Ok(Asked::Text(text)) => {
            // clap ends help by a newline, but not the version.
            console.print(format!("{}\n", text.trim_end()).as_bytes());
            true
        }
        Err(misuse) => {
            console.error(misuse);
            false
        }
    };
    console.finish() && well
}
