// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 sum --check`.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::os::fd::AsFd;

use adler32::describe;
use adler32::Engine;
use adler32::Error;

use crate::cli::SumArgs;
use crate::console::Console;
use crate::line;
use crate::line::Entry;
use crate::line::Parser;
use crate::quote::quote;
use crate::sum;
use crate::sum::STDIN;

/// Checks the files that lists name. Returns whether all went well.
pub fn run(args: &SumArgs, lists: &[OsString], engine: &mut Engine, console: &mut Console) -> bool {
    let mut parser = Parser::default();
    let mut well = true;
    for list in lists {
        let list = List {
            args,
            name: list,
            counts: Counts::default(),
        };
        well &= list.check(&mut parser, engine, console);
    }
    well
}

/// A list of checksums.
struct List<'a> {
    args: &'a SumArgs,
    name: &'a OsStr,
    counts: Counts,
}

/// How many lines of a list have had which end.
#[derive(Default)]
struct Counts {
    formatted: usize,
    misformatted: usize,
    matched: usize,
    mismatched: usize,
    unreadable: usize,
}

impl List<'_> {
    /// Reads the list and checks each file. Returns whether all went well.
    fn check(mut self, parser: &mut Parser, engine: &mut Engine, console: &mut Console) -> bool {
        let reader = match open(self.name) {
            Ok(reader) => reader,
            Err(error) => {
                let name = quote(self.name);
                console.error(format_args!("{name}: {}", describe(&error)));
                return false;
            }
        };
        for (number, line) in (1..).zip(BufReader::new(reader).split(b'\n')) {
            let Ok(line) = line else {
                console.error(format_args!("{}: read error", self.quoted_name()));
                return false;
            };
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            match parser.parse(line) {
                // The standard input cannot have the list and the data.
                Some(entry) if self.name != STDIN || entry.name != STDIN => {
                    self.counts.formatted += 1;
                    self.check_file(&entry, engine, console);
                }
                _ => {
                    self.counts.misformatted += 1;
                    if self.args.warn {
                        console.error(format_args!(
                            "{}: {number}: improperly formatted ADLER32 checksum line",
                            self.quoted_name()
                        ));
                    }
                }
            }
        }
        self.conclude(console)
    }

    fn check_file(&mut self, entry: &Entry, engine: &mut Engine, console: &mut Console) {
        match sum::checksum(engine, self.args.threads, &entry.name) {
            Ok(sum) if sum.checksum.value() == entry.checksum => {
                self.counts.matched += 1;
                if !self.args.quiet {
                    self.print(entry, "OK", console);
                }
            }
            Ok(_) => {
                self.counts.mismatched += 1;
                self.print(entry, "FAILED", console);
            }
            Err(Error::Read(error))
                if self.args.ignore_missing && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                self.counts.unreadable += 1;
                console.error(format_args!("{}: {error}", quote(&entry.name)));
                self.print(entry, "FAILED open or read", console);
            }
        }
    }

    fn print(&self, entry: &Entry, result: &str, console: &mut Console) {
        if !self.args.status {
            let (backslash, name) = line::escape(&entry.name);
            let line = [backslash.as_bytes(), &name, b": ", result.as_bytes(), b"\n"];
            console.print(&line.concat());
        }
    }

    /// Prints what is to be said of the whole list, and returns whether all went well.
    fn conclude(&self, console: &Console) -> bool {
        let Counts {
            formatted,
            misformatted,
            matched,
            mismatched,
            unreadable,
        } = self.counts;
        if formatted == 0 {
            console.error(format_args!(
                "{}: no properly formatted checksum lines found",
                self.quoted_name()
            ));
            return false;
        }
        if !self.args.status {
            let warn = |count, one: &str, many: &str| match count {
                0 => {}
                1 => console.error(format_args!("WARNING: 1 {one}")),
                _ => console.error(format_args!("WARNING: {count} {many}")),
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
                console.error(format_args!("{}: no file was verified", self.quoted_name()));
            }
        }
        matched > 0 && mismatched + unreadable == 0 && !(self.args.strict && misformatted > 0)
    }

    fn quoted_name(&self) -> String {
        if self.name == STDIN {
            quote("standard input".as_ref())
        } else {
            quote(self.name)
        }
    }
}

fn open(name: &OsStr) -> io::Result<Box<dyn Read>> {
    Ok(if name == STDIN {
        // Not `io::stdin()`, whose buffer could keep what another list has to read, and which takes
        // a closed file for an empty one.
        Box::new(File::from(io::stdin().as_fd().try_clone_to_owned()?))
    } else {
        Box::new(File::open(name)?)
    })
}
