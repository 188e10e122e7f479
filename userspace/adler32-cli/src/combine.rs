// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 combine`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::BufRead;
use std::io::BufReader;

use adler32::describe;

use crate::cli::CombineArgs;
use crate::json;
use crate::line;
use crate::line::End;
use crate::line::Form;
use crate::output::Output;
use crate::part;
use crate::part::Part;
use crate::quote::quote;
use crate::sum;
use crate::sum::STDIN;

/// Reads parts from the standard input and prints the checksums of the files. Returns whether all went
/// well.
pub fn run(args: &CombineArgs, output: &mut Output) -> bool {
    let files = match read(output) {
        Some(files) if files.is_empty() => {
            output.error("no parts of files on the standard input");
            return false;
        }
        Some(files) => files,
        None => return false,
    };
    let mut well = true;
    for (name, parts) in files {
        match part::combine(parts) {
            Ok(sum) => output.print(&match args.json {
                true => json::whole(&name, sum),
                false => line::format(Form::Text, End::Newline, sum.checksum.value(), &name),
            }),
            Err(wrong) => {
                for wrong in wrong {
                    output.error(format_args!("{}: {wrong}", quote(&name)));
                }
                well = false;
            }
        }
    }
    well
}

/// Reads the parts of each file, unless there is anything else.
fn read(output: &mut Output) -> Option<BTreeMap<OsString, Vec<Part>>> {
    let mut files: BTreeMap<OsString, Vec<Part>> = BTreeMap::new();
    let mut well = true;
    let stdin = match sum::open(STDIN.as_ref()) {
        Ok(stdin) => stdin,
        Err(error) => {
            output.error(format_args!("standard input: {error}"));
            return None;
        }
    };
    for (number, line) in (1..).zip(BufReader::new(stdin).split(b'\n')) {
        let part = match &line {
            Ok(line) => Part::parse(line),
            Err(error) => {
                output.error(format_args!("standard input: {}", describe(error)));
                return None;
            }
        };
        match part {
            Ok(part) => files.entry(part.name.clone()).or_default().push(part),
            Err(wrong) => {
                output.error(format_args!("line {number} is {wrong}"));
                well = false;
            }
        }
    }
    well.then_some(files)
}
