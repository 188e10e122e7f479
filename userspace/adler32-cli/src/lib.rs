// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The `adler32` command.

#![warn(missing_docs)]

mod console;
mod info;
mod sum;

use std::ffi::OsString;

use clap::Parser;
use clap::Subcommand;

use crate::console::Console;

/// Adler-32 checksums by the adler32 kernel module.
#[derive(Parser)]
#[command(name = "adler32", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Sum(sum::Args),
    /// Show the state of the module and its doors, and how to mend what does not work.
    ///
    /// Loads nothing. The exit status is 0 if the device or AF_ALG works as things are, else 1.
    Info,
}

/// Runs the command that `arguments`, of which the first is the program's name, ask for. Returns whether
/// all went well.
pub fn run(arguments: &[OsString]) -> bool {
    console::occupy_closed_files();
    let mut console = Console::default();
    let well = match Cli::try_parse_from(arguments).map(|cli| cli.command) {
        Ok(Command::Sum(args)) => sum::run(&args, &mut console),
        Ok(Command::Info) => info::run(&mut console),
        Err(error) => error.print().is_ok() && !error.use_stderr(),
    };
    console.finish() && well
}
