// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 sum`.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::iter;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use adler32::Error;

use crate::cli::SumArgs;
use crate::cli::STDIN;
use crate::exit_code::ExitCode;
use crate::json;
use crate::line;
use crate::ordered::in_order;
use crate::output::Output;
use crate::quote::quote;
use crate::summer;
use crate::summer::Summer;
use crate::walk;
use crate::walk::Found;
use crate::ways::Summed;

/// Prints a line for each file, and an error for each file that cannot be read.
pub fn run(args: &SumArgs, output: &mut Output) -> anyhow::Result<ExitCode> {
    let mut summer = Summer::new(args, output)?;
    let files = all_files(args);
    let threads = summer.threads();
    let files_known = !args.recursive && args.files0_from.is_none();
    let most = match files_known {
        true => args.files.len(),
        false => usize::MAX,
    };
    let short = summer.short();
    let short = |name: &OsStr| match args.range {
        None => short(name),
        Some(_) => None,
    };
    let mut code = ExitCode::Success;
    in_order(
        || threads().min(most),
        files,
        |file| file.map(|name| (short(&name), name)),
        |file| {
            let line = file.and_then(|(short, name)| {
                if short.is_none() {
                    output.flush();
                }
                let line = line(args, &name, short, &mut summer, output);
                line.map_err(|error| (name, error))
            });
            match line {
                Ok(line) => output.print(&line),
                Err((name, error)) => {
                    output.error(format_args!("{}: {error}", quote(&name)));
                    code = ExitCode::Failure;
                }
            }
        },
    );
    Ok(code)
}

/// Returns the line for a file. `short` is its checksum if [`Summer::short`] has computed it.
fn line(
    args: &SumArgs,
    name: &OsStr,
    short: Option<Result<Summed, Error>>,
    summer: &mut Summer,
    output: &mut Output,
) -> Result<Vec<u8>, Error> {
    let backend = summer.backend();
    if let Some(range) = &args.range {
        let (part, summed) = summer.part(name, range)?;
        summer.explain(name, &summed, output);
        return Ok(match args.json {
            true => part.json(&summed, backend),
            false => part.line(),
        });
    }
    let summed = short.unwrap_or_else(|| summer.sum(name))?;
    summer.explain(name, &summed, output);
    Ok(match args.json {
        true => json::line(json::summed(name, &summed, backend)),
        false => {
            let checksum = summed.sum.checksum.value();
            line::format(args.form(), args.end(), checksum, name)
        }
    })
}

/// Returns all files to sum.
pub fn all_files(args: &SumArgs) -> impl Iterator<Item = Found> + Send + '_ {
    let given = args.files.iter().map(|name| Ok(name.clone()));
    let listed = args.files0_from.iter().flat_map(|list| names_in(list));
    given.chain(listed).flat_map(|name| match name {
        Ok(name) => found(args, name),
        Err(error) => Box::new(iter::once(Err(error))),
    })
}

/// Returns the names in a file, each of which ends with a NUL.
fn names_in(list: &OsStr) -> impl Iterator<Item = Found> + Send + '_ {
    let failed = move |error| (list.to_owned(), error);
    let (names, error) = match summer::open(list) {
        Ok(file) => (Some(BufReader::new(file).split(0)), None),
        Err(error) => (None, Some(Err(failed(error)))),
    };
    let names = (1..).zip(names.into_iter().flatten());
    let names = names.map(move |(number, name)| {
        let invalid = |text| Err((list.to_owned(), Error::Read(io::Error::other(text))));
        match name {
            Ok(name) if name.is_empty() => invalid(format!("name {number} has no length")),
            Ok(name) if list == STDIN && name == STDIN.as_bytes() => {
                invalid(format!("name {number} is that of the standard input"))
            }
            Ok(name) => Ok(OsString::from_vec(name)),
            Err(error) => Err(failed(Error::Read(error))),
        }
    });
    // Reading after an error would fail again, without end.
    let mut readable = true;
    let names = names.map_while(move |name| {
        let go_on = readable;
        readable = !matches!(&name, Err((_, Error::Read(error))) if error.raw_os_error().is_some());
        go_on.then_some(name)
    });
    error.into_iter().chain(names)
}

/// Returns the files that a name stands for.
fn found(args: &SumArgs, name: OsString) -> Box<dyn Iterator<Item = Found> + Send> {
    if args.recursive && name != STDIN && Path::new(&name).is_dir() {
        Box::new(walk::files(&name, args.one_file_system))
    } else {
        Box::new(iter::once(Ok(name)))
    }
}
