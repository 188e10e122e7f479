// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The `adler32` command.

mod info;
mod sum;

use std::io;
use std::process::ExitCode;

use adler32::describe;
use clap::Parser;
use clap::Subcommand;
use nix::sys::signal;
use nix::sys::signal::SigHandler;
use nix::sys::signal::Signal;

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

fn main() -> ExitCode {
    // SAFETY: No handler is installed that could run.
    if let Err(errno) = unsafe { signal::signal(Signal::SIGPIPE, SigHandler::SigDfl) } {
        return fail(errno.desc());
    }
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => {
            let status = u8::from(error.use_stderr());
            return match error.print() {
                Ok(()) => ExitCode::from(status),
                Err(_) => ExitCode::FAILURE,
            };
        }
    };
    let done: io::Result<ExitCode> = match command {
        Command::Sum(args) => sum::run(&args),
        Command::Info => info::run(),
    };
    done.unwrap_or_else(|error| fail(format_args!("write error: {}", describe(&error))))
}

/// Prints an error and returns the exit status for it.
fn fail(error: impl std::fmt::Display) -> ExitCode {
    eprintln!("adler32: {error}");
    ExitCode::FAILURE
}
