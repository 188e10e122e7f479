// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 combine`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::BufRead;
use std::io::BufReader;

use adler32::describe;
use anyhow::anyhow;

use crate::cli::CombineArgs;
use crate::cli::STDIN;
use crate::exit_code::ExitCode;
use crate::json;
use crate::line;
use crate::line::End;
use crate::line::Form;
use crate::output::Output;
use crate::part;
use crate::part::Part;
use crate::quote::quote;
use crate::summer;

/// Reads parts from the standard input and prints the checksum of each file that is complete.
pub fn run(args: &CombineArgs, output: &mut Output) -> anyhow::Result<ExitCode> {
    let Some(files) = read(output)? else {
        return Ok(ExitCode::Failure);
    };
    anyhow::ensure!(!files.is_empty(), "no parts of files on the standard input");
    let mut code = ExitCode::Success;
    for (name, parts) in files {
        match part::combine(parts) {
            Ok(sum) => output.print(&match args.json {
                true => json::whole(&name, sum),
                false => line::format(Form::Text, End::Newline, sum.checksum.value(), &name),
            }),
            Err(errors) => {
                for error in errors {
                    output.error(format_args!("{}: {error}", quote(&name)));
                }
                code = ExitCode::Failure;
            }
        }
    }
    Ok(code)
}

/// Reads the parts of each file. Reports all lines that are not parts, and then returns `None`.
fn read(output: &mut Output) -> anyhow::Result<Option<BTreeMap<OsString, Vec<Part>>>> {
    let mut files: BTreeMap<OsString, Vec<Part>> = BTreeMap::new();
    let mut valid = true;
    let stdin = summer::open(STDIN.as_ref()).map_err(|error| anyhow!("standard input: {error}"))?;
    for (number, line) in (1..).zip(BufReader::new(stdin).split(b'\n')) {
        let line = line.map_err(|error| anyhow!("standard input: {}", describe(&error)))?;
        match Part::parse(&line) {
            Ok(part) => files.entry(part.name.clone()).or_default().push(part),
            Err(error) => {
                output.error(format_args!("line {number} is {error}"));
                valid = false;
            }
        }
    }
    Ok(valid.then_some(files))
}
