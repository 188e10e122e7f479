// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The commands `adler32` and `adler32sum`.

#![warn(missing_docs)]

mod bench;
mod check;
mod cli;
mod combine;
mod info;
mod json;
mod line;
mod misuse;
mod ordered;
mod output;
mod part;
mod progress;
mod quote;
mod sum;
mod walk;

use std::ffi::OsString;

pub use crate::cli::commands;

use crate::cli::Asked;
use crate::cli::Command;
use crate::output::Output;

/// Runs the command that `arguments`, of which the first is the program's name, ask for. Returns whether
/// all went well.
pub fn run(arguments: &[OsString]) -> bool {
    output::occupy_closed_files();
    let invocation = cli::parse(arguments);
    let mut output = Output::new(invocation.program);
    let well = match invocation.asked {
        Ok(Asked::Run(Command::Sum(args))) => sum::run(&args, &mut output),
        Ok(Asked::Run(Command::Combine(args))) => combine::run(&args, &mut output),
        Ok(Asked::Run(Command::Bench(args))) => bench::run(&args, &mut output),
        Ok(Asked::Run(Command::Info(args))) => info::run(&args, &mut output),
        Ok(Asked::Text(text)) => {
            // clap ends help by a newline, but not the version.
            output.print(format!("{}\n", text.trim_end()).as_bytes());
            true
        }
        Err(misuse) => {
            output.error(misuse);
            false
        }
    };
    output.finish() && well
}
