// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 sum`.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::io;
use std::io::IsTerminal;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::iter;
use std::num::NonZero;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;

use adler32::file;
use adler32::processor;
use adler32::AfAlg;
use adler32::Engine;
use adler32::Error;
use adler32::Session;
use adler32::Sum;
use adler32::Via;

use crate::check;
use crate::cli::SumArgs;
use crate::console::Console;
use crate::json;
use crate::line;
use crate::line::End;
use crate::ordered::in_order;
use crate::part::Part;
use crate::quote::quote;
use crate::walk;
use crate::walk::Found;

/// The name that stands for the standard input.
pub const STDIN: &str = "-";

/// Prints the checksums of files, or checks those in lists. Returns whether all went well.
pub fn run(args: &SumArgs, console: &mut Console) -> bool {
    let Some(engine) = open_door(args.via.via(), console) else {
        return false;
    };
    if args.debug {
        explain(&engine, console);
    }
    let summer = Summer {
        engine,
        threads: args.threads,
    };
    let stdin = [OsString::from(STDIN)];
    let names = match &*args.files {
        [] => &stdin,
        files => files,
    };
    // Which files lists and folders have is known too late; ranges are less than files.
    let known = !args.check && !args.recursive && args.range.is_none();
    // Nor is there a bar where somebody types.
    if !(names.iter().any(|name| name == STDIN) && io::stdin().is_terminal()) {
        console.show_progress(known.then_some(names));
    }
    if args.check {
        check::run(args, names, summer, console)
    } else {
        print(args, names, summer, console)
    }
}

/// Opens a door. What closes AF_ALG is not up to most users, so another door does.
fn open_door(via: Via, console: &mut Console) -> Option<Engine> {
    let error = match Engine::open(via) {
        Ok(engine) => return Some(engine),
        Err(error) => error,
    };
    if via != Via::AfAlg {
        console.error(error);
        return None;
    }
    let engine = Engine::first();
    console.error(format_args!("{error} (used instead: {})", engine.via()));
    Some(engine)
}

/// Tells which door is open, and why the others are not.
fn explain(engine: &Engine, console: &mut Console) {
    let used = engine.via();
    match engine {
        Engine::Cpu(_) => {
            let implementation = processor::fastest();
            console.error(format_args!("used: {used}, {}", implementation.name()));
        }
        _ => console.error(format_args!("used: {used}")),
    }
    for via in Via::ALL.into_iter().filter(|via| *via != used) {
        let works = match via {
            Via::Device | Via::Ioctl => Session::open().map(drop),
            Via::AfAlg => AfAlg::probe(),
            Via::Cpu => Ok(()),
        };
        match works {
            Ok(()) => console.error(format_args!(
                "not used: {via}: works, and --via {via} asks for it"
            )),
            Err(error) => console.error(format_args!("not used: {via}: {error}")),
        }
    }
}

/// Prints a line for each file, and an error for each that cannot be read.
fn print(args: &SumArgs, names: &[OsString], mut summer: Summer, console: &mut Console) -> bool {
    let files = names.iter().flat_map(|name| found(args, name));
    let threads = match args.recursive {
        true => summer.threads(),
        false => summer.threads().min(names.len()),
    };
    let short = summer.short();
    let short = |name: &OsStr| match args.range {
        None => short(name),
        Some(_) => None,
    };
    let mut well = true;
    in_order(
        threads,
        files,
        |file| file.map(|name| (short(&name), name)),
        |file| {
            let line = file.and_then(|(short, name)| {
                if short.is_none() {
                    console.flush();
                }
                let line = line(args, &name, short, &mut summer);
                line.map_err(|error| (name, error))
            });
            match line {
                Ok(line) => console.print(&line),
                Err((name, error)) => {
                    console.error(format_args!("{}: {error}", quote(&name)));
                    well = false;
                }
            }
        },
    );
    well
}

/// Returns the line for a file, which [`Summer::short`] has summed or not.
fn line(
    args: &SumArgs,
    name: &OsStr,
    short: Option<Result<Sum, Error>>,
    summer: &mut Summer,
) -> Result<Vec<u8>, Error> {
    let via = summer.engine.via();
    if let Some(range) = &args.range {
        let part = summer.part(name, range)?;
        return Ok(match args.json {
            true => json::part(&part, via),
            false => part.line(),
        });
    }
    let sum = short.unwrap_or_else(|| summer.sum(name))?;
    let end = if args.zero { End::Nul } else { End::Newline };
    Ok(match args.json {
        true => json::summed(name, sum, via),
        false => line::format(args.form(), end, sum.checksum.value(), name),
    })
}

/// Returns the files that a name stands for.
fn found(args: &SumArgs, name: &OsStr) -> Box<dyn Iterator<Item = Found> + Send> {
    if args.recursive && name != STDIN && Path::new(name).is_dir() {
        Box::new(walk::files(name))
    } else {
        Box::new(iter::once(Ok(name.to_owned())))
    }
}

/// Sums files.
pub struct Summer {
    engine: Engine,
    threads: Option<NonZero<usize>>,
}

impl Summer {
    /// Returns how many threads may sum files at the same time.
    pub fn threads(&self) -> usize {
        match self.engine {
            Engine::Cpu(_) => self
                .threads
                .or_else(|| thread::available_parallelism().ok())
                .map_or(1, NonZero::get),
            // Other doors are open once.
            _ => 1,
        }
    }

    /// Returns what sums a short file by the calling thread alone, while others sum others. It leaves
    /// to [`Self::sum`] what is worth all threads, or may keep a reader waiting.
    pub fn short(&self) -> impl Fn(&OsStr) -> Option<Result<Sum, Error>> + Sync {
        let cpu = matches!(self.engine, Engine::Cpu(_));
        move |name| {
            if !cpu || name == STDIN {
                return None;
            }
            let metadata = fs::metadata(name).ok()?;
            if !metadata.is_file() || metadata.len() >= file::PARALLEL_FROM {
                return None;
            }
            let file = File::open(name).map_err(Error::Read);
            Some(file.and_then(|file| file::checksum(file, Some(NonZero::<usize>::MIN))))
        }
    }

    /// Sums a file, or the standard input, however long that takes.
    pub fn sum(&mut self, name: &OsStr) -> Result<Sum, Error> {
        let file = open(name)?;
        match self.engine {
            Engine::Cpu(_) => file::checksum(file, self.threads),
            _ => self.engine.checksum_file(file),
        }
    }

    /// Sums a range of a file.
    fn part(&mut self, name: &OsStr, range: &Range<u64>) -> Result<Part, Error> {
        let mut file = open(name)?;
        let size = size(&file)?;
        let (start, end) = (range.start, range.end.min(size));
        if start > size {
            let text = format!("the range begins at {start}, after the end at {size}");
            return Err(Error::Read(io::Error::other(text)));
        }
        let sum = match self.engine {
            Engine::Cpu(_) => file::checksum_range(file, start..end, self.threads)?,
            _ => {
                file.seek(SeekFrom::Start(start)).map_err(Error::Read)?;
                self.engine.checksum(file.take(end - start))?
            }
        };
        // Else no parts ever make the whole. Files in `/sys` say that they have a page.
        let found = start + sum.length;
        if found < end {
            let text = format!(
                "ends at {found}, but its size was {size}; sum it again, or without --range"
            );
            return Err(Error::Read(io::Error::other(text)));
        }
        Ok(Part {
            name: name.to_owned(),
            size,
            offset: start,
            sum,
        })
    }
}

/// Returns how long a file is. A pipe does not tell; files like `/dev/zero` and those in `/proc` say that
/// they are empty, and have bytes.
fn size(mut file: &File) -> Result<u64, Error> {
    let read = match file.read_at(&mut [0], 0) {
        Err(error) if error.kind() != io::ErrorKind::NotSeekable => return Err(Error::Read(error)),
        read => read.ok(),
    };
    match (read, file.seek(SeekFrom::End(0))) {
        (Some(0), Ok(size)) | (Some(_), Ok(size @ 1..)) => Ok(size),
        _ => {
            let text = "has no ranges, as its size is not known; sum it without --range";
            Err(Error::Read(io::Error::other(text)))
        }
    }
}

/// Opens a file, or the standard input.
pub fn open(name: &OsStr) -> Result<File, Error> {
    let file = if name == STDIN {
        // Not `io::stdin()`, whose buffer could keep what another list has to read, and which takes
        // a closed file for an empty one.
        io::stdin().as_fd().try_clone_to_owned().map(File::from)
    } else {
        File::open(name)
    };
    file.map_err(Error::Read)
}
