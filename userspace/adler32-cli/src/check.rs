// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 sum --check`.

use std::ffi::OsStr;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;

use adler32::Error;
use adler32::Sum;

use crate::audit::Audit;
use crate::cli::SumArgs;
use crate::cli::STDIN;
use crate::exit_code::ExitCode;
use crate::field::Content;
use crate::field::Parser;
use crate::line;
use crate::line::Entry;
use crate::ordered::in_order;
use crate::output::Output;
use crate::part::Part;
use crate::quote::quote;
use crate::summer;
use crate::summer::Summer;

/// Checks the files in lists.
pub fn run(args: &SumArgs, output: &mut Output) -> anyhow::Result<ExitCode> {
    let mut summer = Summer::new(args, output)?;
    let mut parser = Parser::new(!args.field_forms, args.name.as_deref());
    let mut audit = Audit::default();
    let mut code = ExitCode::Success;
    for name in &args.files {
        let list = List {
            args,
            name,
            counts: Counts::default(),
        };
        code = code.max(list.check(&mut parser, &mut audit, &mut summer, output));
    }
    match args.audit.is_empty() {
        true => Ok(code),
        false => Ok(code.max(report_unlisted(args, &audit, output))),
    }
}

/// Reports the files that no list contains.
fn report_unlisted(args: &SumArgs, audit: &Audit, output: &mut Output) -> ExitCode {
    let mut unlisted = 0_usize;
    let mut code = ExitCode::Success;
    let directories = args.audit.iter();
    for file in directories.flat_map(|directory| audit.unlisted(args, directory)) {
        match file {
            Ok(name) => {
                unlisted += 1;
                print_result(args, &name, "NOT LISTED", output);
            }
            Err((name, error)) => {
                code = ExitCode::Failure;
                output.error(format_args!("{}: {error}", quote(&name)));
            }
        }
    }
    match unlisted {
        0 => return code,
        _ if args.status => {}
        1 => output.error("WARNING: 1 file is in no list"),
        _ => output.error(format_args!("WARNING: {unlisted} files are in no list")),
    }
    ExitCode::Negative
}

fn print_result(args: &SumArgs, name: &OsStr, result: &str, output: &mut Output) {
    if !args.status {
        output.print(&line::result(name, result));
    }
}

/// The reason why a line of a part is refused.
const PART: &str = "a part of a file, for 'adler32 combine'";

/// A line of a list.
enum Line {
    Entry(Entry),
    /// The line of this number is improperly formatted.
    Misformatted(usize),
    /// The line of this number cannot be used for this reason.
    Unclear(usize, &'static str),
    /// The list could not be read further.
    Unreadable,
}

/// A list of checksums.
struct List<'a> {
    args: &'a SumArgs,
    name: &'a OsStr,
    counts: Counts,
}

/// The numbers of lines of a list with each result.
#[derive(Default)]
struct Counts {
    formatted: usize,
    misformatted: usize,
    matched: usize,
    mismatched: usize,
    unreadable: usize,
}

impl List<'_> {
    /// Reads the list and checks each file.
    fn check(
        mut self,
        parser: &mut Parser<'_>,
        audit: &mut Audit,
        summer: &mut Summer,
        output: &mut Output,
    ) -> ExitCode {
        let reader = match summer::open(self.name) {
            Ok(reader) => reader,
            Err(error) => {
                let name = quote(self.name);
                output.error(format_args!("{name}: {error}"));
                return ExitCode::Failure;
            }
        };
        let from_stdin = self.name == STDIN;
        let audited = !self.args.audit.is_empty();
        if audited {
            audit.add(self.name);
        }
        let directory = match self.args.relative && !from_stdin {
            true => Path::new(self.name).parent().unwrap_or(Path::new("/")),
            false => Path::new(""),
        };
        let path = |name: &OsStr| match name == STDIN {
            true => name.to_owned(),
            false => directory.join(name).into_os_string(),
        };
        let lines = (1..).zip(BufReader::new(reader).split(b'\n'));
        let lines = lines.filter_map(|(number, line)| {
            let Ok(line) = line else {
                return Some(Line::Unreadable);
            };
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            // sha256sum would take the offset, the length, the size and the name for the name.
            if !self.args.as_sha256sum && Part::parse(line).is_ok() {
                return Some(Line::Unclear(number, PART));
            }
            match parser.parse(line) {
                // The standard input cannot contain both the list and the data.
                Content::Entry(entry) if from_stdin && entry.name == STDIN => {
                    Some(Line::Misformatted(number))
                }
                Content::Entry(entry) => Some(Line::Entry(entry)),
                Content::Nothing => None,
                Content::Misformatted => Some(Line::Misformatted(number)),
                Content::Unclear(reason) => Some(Line::Unclear(number, reason)),
            }
        });
        // Reading an unreadable list again would fail again, without end.
        let mut readable = true;
        let lines = lines.map_while(|line| {
            let go_on = readable;
            readable &= !matches!(line, Line::Unreadable);
            go_on.then_some(line)
        });
        let short = summer.short();
        let mut complete = true;
        let mut code = ExitCode::Success;
        in_order(
            summer.threads(),
            lines,
            |line| match &line {
                Line::Entry(entry) => (short(&path(&entry.name)), line),
                _ => (None, line),
            },
            |(short, line)| match line {
                Line::Entry(entry) => {
                    let path = path(&entry.name);
                    if audited {
                        audit.add(&path);
                    }
                    let summed = short.unwrap_or_else(|| {
                        output.flush();
                        summer.sum(&path)
                    });
                    if let Ok(summed) = &summed {
                        summer.explain(&path, summed, output);
                    }
                    self.count(&entry, summed.map(|summed| summed.sum), output);
                }
                Line::Misformatted(number) => {
                    self.counts.misformatted += 1;
                    if self.args.warn {
                        output.error(format_args!(
                            "{}: {number}: improperly formatted ADLER32 checksum line",
                            self.quoted_name()
                        ));
                    }
                }
                Line::Unclear(number, reason) => {
                    self.counts.misformatted += 1;
                    code = ExitCode::Failure;
                    let list = self.quoted_name();
                    output.error(format_args!("{list}: {number}: {reason}"));
                }
                Line::Unreadable => {
                    output.error(format_args!("{}: read error", self.quoted_name()));
                    complete = false;
                }
            },
        );
        match complete {
            true => code.max(self.conclude(output)),
            false => ExitCode::Failure,
        }
    }

    /// Counts and prints the result of an entry. `sum` is the checksum of the file.
    fn count(&mut self, entry: &Entry, sum: Result<Sum, Error>, output: &mut Output) {
        self.counts.formatted += 1;
        match sum {
            Ok(sum) if entry.matches(sum) => {
                self.counts.matched += 1;
                if !self.args.quiet {
                    self.print(entry, "OK", output);
                }
            }
            Ok(_) => {
                self.counts.mismatched += 1;
                self.print(entry, "FAILED", output);
            }
            Err(Error::Read(error))
                if self.args.ignore_missing && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                self.counts.unreadable += 1;
                output.error(format_args!("{}: {error}", quote(&entry.name)));
                self.print(entry, "FAILED open or read", output);
            }
        }
    }

    fn print(&self, entry: &Entry, result: &str, output: &mut Output) {
        print_result(self.args, &entry.name, result, output);
    }

    /// Prints the warnings about the whole list.
    fn conclude(&self, output: &mut Output) -> ExitCode {
        let Counts {
            formatted,
            misformatted,
            matched,
            mismatched,
            unreadable,
        } = self.counts;
        if formatted == 0 {
            output.error(format_args!(
                "{}: no properly formatted checksum lines found",
                self.quoted_name()
            ));
            return ExitCode::Failure;
        }
        if !self.args.status {
            let mut warn = |count, one: &str, many: &str| match count {
                0 => {}
                1 => output.error(format_args!("WARNING: 1 {one}")),
                _ => output.error(format_args!("WARNING: {count} {many}")),
            };
            warn(
                misformatted,
                "line is improperly formatted",
                "lines are improperly formatted",
            );
            warn(
                unreadable,
                "listed file could not be read",
                "listed files could not be read",
            );
            warn(
                mismatched,
                "computed checksum did NOT match",
                "computed checksums did NOT match",
            );
            if self.args.ignore_missing && matched == 0 {
                output.error(format_args!("{}: no file was verified", self.quoted_name()));
            }
        }
        let refused = self.args.strict && misformatted > 0;
        match (mismatched, matched > 0 && unreadable == 0 && !refused) {
            (1.., _) => ExitCode::Negative,
            (0, true) => ExitCode::Success,
            (0, false) => ExitCode::Failure,
        }
    }

    fn quoted_name(&self) -> String {
        if self.name == STDIN {
            quote("standard input".as_ref())
        } else {
            quote(self.name)
        }
    }
}
