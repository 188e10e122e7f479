// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 sum --xattr`, also with `--check`.

use std::ffi::OsStr;
use std::fs::File;
use std::io;

use adler32::Adler32;
use adler32::Error;
use adler32::Sum;
use serde_json::json;

use crate::attribute::Format;
use crate::attribute::State;
use crate::attribute::Stored;
use crate::cli::SumArgs;
use crate::cli::STDIN;
use crate::exit_code::ExitCode;
use crate::json;
use crate::line;
use crate::ordered::in_order;
use crate::output::Output;
use crate::quote::quote;
use crate::sum;
use crate::summer::Summer;
use crate::ways::Summed;

/// Prints the checksums of files, which attributes may contain; or checks the files.
pub fn run(args: &SumArgs, format: Format, output: &mut Output) -> anyhow::Result<ExitCode> {
    let mut summer = Summer::new(args, output)?;
    let mut run = Run {
        args,
        format,
        code: ExitCode::Success,
        counts: Counts::default(),
    };
    let short = summer.short_file();
    let prepare = |name: &OsStr| {
        let mut opened = Opened::new(name, format)?;
        if needs_sum(args, &opened) {
            opened.sum = opened.file.as_ref().and_then(&short);
        }
        Ok(opened)
    };
    in_order(
        summer.threads(),
        sum::all_files(args),
        |file| {
            file.and_then(|name| match prepare(&name) {
                Ok(opened) => Ok((name, opened)),
                Err(error) => Err((name, error)),
            })
        },
        |file| {
            let finished = file.and_then(|(name, opened)| {
                if opened.sum.is_none() && needs_sum(args, &opened) {
                    output.flush();
                }
                match run.finish(&name, opened, &mut summer, output) {
                    Ok(()) => Ok(()),
                    Err(error) => Err((name, error)),
                }
            });
            if let Err((name, error)) = finished {
                run.unreadable(&name, &error, output);
            }
        },
    );
    Ok(match args.check {
        true => run.conclude(output),
        false => run.code,
    })
}

/// A file that is open, with its stored checksum.
struct Opened {
    /// `None` for the standard input.
    file: Option<File>,
    state: Option<State>,
    stored: Option<Stored>,
    sum: Option<Result<Summed, Error>>,
}

impl Opened {
    fn new(name: &OsStr, format: Format) -> Result<Self, Error> {
        let mut opened = Self {
            file: None,
            state: None,
            stored: None,
            sum: None,
        };
        if name == STDIN {
            return Ok(opened);
        }
        let file = File::open(name).map_err(Error::Read)?;
        if file.metadata().map_err(Error::Read)?.is_file() {
            opened.state = Some(State::of(&file).map_err(Error::Read)?);
            opened.stored = format.read(&file);
        }
        opened.file = Some(file);
        Ok(opened)
    }
}

/// Returns whether the file has to be read.
fn needs_sum(args: &SumArgs, opened: &Opened) -> bool {
    let (Some(state), Some(stored)) = (&opened.state, &opened.stored) else {
        return !args.check;
    };
    match args.check {
        true => stored.is_current(state) != Some(false),
        false => {
            args.force || !stored.is_fresh(state) || Adler32::from_value(stored.checksum).is_none()
        }
    }
}

/// The result of checking a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    Failed,
    /// The file was modified after its checksum was stored.
    Outdated,
    /// No checksum is stored.
    Missing,
}

impl Verdict {
    fn text(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Failed => "FAILED",
            Self::Outdated => "not checked: modified after its checksum was stored",
            Self::Missing => "not checked: no stored checksum",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Outdated => "outdated",
            Self::Missing => "missing",
        }
    }
}

#[derive(Default)]
struct Counts {
    matched: usize,
    mismatched: usize,
    outdated: usize,
    missing: usize,
    unreadable: usize,
}

struct Run<'a> {
    args: &'a SumArgs,
    format: Format,
    code: ExitCode,
    counts: Counts,
}

impl Run<'_> {
    /// Computes the checksum if necessary, and prints the result for a file.
    fn finish(
        &mut self,
        name: &OsStr,
        mut opened: Opened,
        summer: &mut Summer,
        output: &mut Output,
    ) -> Result<(), Error> {
        let sum = match needs_sum(self.args, &opened) {
            false => None,
            true => {
                let summed = match (opened.sum.take(), &opened.file) {
                    (Some(summed), _) => summed?,
                    (None, Some(file)) => summer.sum_file(file)?,
                    (None, None) => summer.sum(name)?,
                };
                summer.explain(name, &summed, output);
                Some(summed.sum)
            }
        };
        if self.args.check {
            self.check(name, &opened, sum, output);
        } else {
            self.print(name, &opened, sum, output);
        }
        Ok(())
    }

    /// Prints the checksum of a file, and stores it if it was computed.
    fn print(&mut self, name: &OsStr, opened: &Opened, sum: Option<Sum>, output: &mut Output) {
        let stored = opened.stored.zip(opened.state).and_then(|(stored, state)| {
            let checksum = Adler32::from_value(stored.checksum)?;
            let length = state.size;
            Some(Sum { checksum, length })
        });
        if let Some(warning) = sum.and_then(|sum| self.store(opened, sum)) {
            output.error(format_args!("{}: {warning}", quote(name)));
        }
        let Some(sum) = sum.or(stored) else {
            return;
        };
        let line = match self.args.json {
            true => {
                let mut object = json::object(name, sum);
                if let Some(state) = &opened.state {
                    object["modified"] = state.modified().into();
                }
                object["stored"] = opened.sum_is_stored(self.args).into();
                json::line(object)
            }
            false => line::format(
                self.args.form(),
                self.args.end(),
                sum.checksum.value(),
                name,
            ),
        };
        output.print(&line);
    }

    /// Stores a checksum. Returns a warning if that fails.
    fn store(&mut self, opened: &Opened, sum: Sum) -> Option<String> {
        let (file, state) = (opened.file.as_ref()?, opened.state.as_ref()?);
        let checksum = sum.checksum.value();
        let differs = opened.stored.filter(|stored| {
            stored.is_current(state) != Some(false) && stored.checksum != checksum
        });
        if let Some(stored) = differs.filter(|_| !self.args.force) {
            self.code = ExitCode::Negative;
            let why = match stored.is_current(state) {
                Some(_) => "although the time of modification is the same",
                None => "so the file has changed since",
            };
            let stored = stored.checksum;
            return Some(format!(
                "the stored checksum is {stored:08x}, {why}; --force replaces it"
            ));
        }
        let same = opened
            .stored
            .is_some_and(|stored| stored.checksum == checksum);
        if same && self.format == Format::Storm {
            return None;
        }
        if state.size != sum.length {
            return Some("checksum not stored: the file changed while it was read".to_owned());
        }
        self.format.write(file, checksum, state).err()
    }

    /// Prints whether a file has its stored checksum.
    fn check(&mut self, name: &OsStr, opened: &Opened, sum: Option<Sum>, output: &mut Output) {
        let unchanged = |file: &File| State::of(file).ok() == opened.state;
        let verdict = match (opened.stored, sum, &opened.file) {
            (None, ..) => Verdict::Missing,
            (Some(stored), Some(sum), _) if sum.checksum.value() == stored.checksum => Verdict::Ok,
            (Some(_), Some(_), Some(file)) if unchanged(file) => Verdict::Failed,
            _ => Verdict::Outdated,
        };
        let (count, quiet) = match verdict {
            Verdict::Ok => (&mut self.counts.matched, self.args.quiet),
            Verdict::Failed => (&mut self.counts.mismatched, false),
            Verdict::Outdated => (&mut self.counts.outdated, self.args.quiet),
            Verdict::Missing => (&mut self.counts.missing, self.args.quiet),
        };
        *count += 1;
        if quiet || self.args.status {
            return;
        }
        if !self.args.json {
            output.print(&line::result(name, verdict.text()));
            return;
        }
        let mut object = json!({
            "file": name.to_string_lossy(),
            "result": verdict.key(),
        });
        if let Some(stored) = opened.stored {
            object["stored"] = format!("{:08x}", stored.checksum).into();
        }
        if let Some(sum) = sum {
            object["adler32"] = format!("{:08x}", sum.checksum.value()).into();
            object["length"] = sum.length.into();
        }
        output.print(&json::line(object));
    }

    fn unreadable(&mut self, name: &OsStr, error: &Error, output: &mut Output) {
        if let Error::Read(error) = error {
            if self.args.ignore_missing && error.kind() == io::ErrorKind::NotFound {
                return;
            }
        }
        self.code = self.code.max(ExitCode::Failure);
        self.counts.unreadable += 1;
        output.error(format_args!("{}: {error}", quote(name)));
        if self.args.check && !self.args.status {
            match self.args.json {
                true => output.print(&json::line(json!({
                    "file": name.to_string_lossy(),
                    "result": "unreadable",
                    "error": error.to_string(),
                }))),
                false => output.print(&line::result(name, "FAILED open or read")),
            }
        }
    }

    /// Prints the warnings about all files.
    fn conclude(&self, output: &mut Output) -> ExitCode {
        let Counts {
            matched,
            mismatched,
            outdated,
            missing,
            unreadable,
        } = self.counts;
        if !self.args.status {
            for (count, what) in [
                (unreadable, "could not be read"),
                (missing, "without a stored checksum"),
                (outdated, "modified after the checksum was stored"),
                (mismatched, "did NOT match the stored checksum"),
            ] {
                match count {
                    0 => {}
                    1 => output.error(format_args!("WARNING: 1 file {what}")),
                    _ => output.error(format_args!("WARNING: {count} files {what}")),
                }
            }
            if matched + mismatched == 0 {
                output.error("no file was verified");
            }
        }
        let refused = self.args.strict && outdated + missing > 0;
        match (mismatched, matched > 0 && unreadable == 0 && !refused) {
            (1.., _) => ExitCode::Negative,
            (0, true) => ExitCode::Success,
            (0, false) => ExitCode::Failure,
        }
    }
}

impl Opened {
    /// Returns whether the printed checksum comes from the attribute.
    fn sum_is_stored(&self, args: &SumArgs) -> bool {
        self.stored.is_some() && !needs_sum(args, self)
    }
}
