// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The commands `adler32` and `adler32sum`.

#![warn(missing_docs)]

mod attribute;
mod audit;
mod bench;
mod check;
mod checksum;
mod cli;
mod combine;
mod copy;
mod diagnosis;
mod exit_code;
mod field;
mod info;
mod json;
mod line;
mod locale;
mod misuse;
mod ordered;
mod output;
mod part;
mod progress;
mod quote;
mod stored;
mod sum;
mod summer;
mod walk;
mod ways;
mod xrootd;

use std::ffi::OsString;

pub use crate::cli::commands;
pub use crate::diagnosis::probe_af_alg;
pub use crate::diagnosis::Diagnosis;
pub use crate::exit_code::ExitCode;

use crate::cli::Asked;
use crate::cli::Command;
use crate::cli::SumArgs;
use crate::output::Output;

/// Runs the command that the arguments ask for. The first argument is the name of the program.
pub fn run(arguments: &[OsString]) -> ExitCode {
    output::occupy_closed_files();
    let invocation = cli::parse(arguments);
    let mut output = Output::new(invocation.program);
    let result = invocation
        .asked
        .and_then(|asked| answer(asked, &mut output));
    let code = result.unwrap_or_else(|error| {
        output.error(error);
        ExitCode::Failure
    });
    let code = code.max(output.finish());
    match invocation.program {
        cli::ADLER32SUM => code.of_sha256sum(),
        _ => code,
    }
}

fn answer(asked: Asked, output: &mut Output) -> anyhow::Result<ExitCode> {
    match asked {
        Asked::Run(Command::Sum(
            args @ SumArgs {
                xattr: Some(format),
                ..
            },
        )) => stored::run(&args, format, output),
        Asked::Run(Command::Sum(args)) if args.check => check::run(&args, output),
        Asked::Run(Command::Sum(args)) => sum::run(&args, output),
        Asked::Run(Command::Combine(args)) => combine::run(&args, output),
        Asked::Run(Command::Copy(args)) => copy::run(&args, output),
        Asked::Run(Command::Xrootd(args)) => Ok(xrootd::run(&args, output)),
        Asked::Run(Command::Bench(args)) => bench::run(&args, output),
        Asked::Run(Command::Info(args)) => Ok(info::run(&args, output)),
        Asked::Text(text) => {
            // clap ends help with a newline, but not the version.
            output.print(format!("{}\n", text.trim_end()).as_bytes());
            Ok(ExitCode::Success)
        }
    }
}
