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
use adler32::Backend;
use adler32::BackendKind;
use adler32::Error;
use adler32::Session;
use adler32::Sum;

use crate::check;
use crate::cli::SumArgs;
use crate::json;
use crate::line;
use crate::line::End;
use crate::ordered::in_order;
use crate::output::Output;
use crate::part::Part;
use crate::quote::quote;
use crate::walk;
use crate::walk::Found;

/// The name that stands for the standard input.
pub const STDIN: &str = "-";

/// Prints the checksums of files, or checks those in lists. Returns whether all went well.
pub fn run(args: &SumArgs, output: &mut Output) -> bool {
    let Some(backend) = open_backend(args.via.kind(), output) else {
        return false;
    };
    if args.debug {
        explain(&backend, output);
    }
    let summer = Summer {
        backend,
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
        output.show_progress(known.then_some(names));
    }
    if args.check {
        check::run(args, names, summer, output)
    } else {
        print(args, names, summer, output)
    }
}

/// Opens a backend. What closes AF_ALG is not up to most users, so another backend does.
fn open_backend(via: BackendKind, output: &mut Output) -> Option<Backend> {
    let error = match Backend::open(via) {
        Ok(backend) => return Some(backend),
        Err(error) => error,
    };
    if via != BackendKind::AfAlg {
        output.error(error);
        return None;
    }
    let backend = Backend::first();
    output.error(format_args!("{error} (used instead: {})", backend.kind()));
    Some(backend)
}

/// Tells which backend is open, and why the others are not.
fn explain(backend: &Backend, output: &mut Output) {
    let used = backend.kind();
    match backend {
        Backend::Cpu(_) => {
            let implementation = processor::fastest();
            output.error(format_args!("used: {used}, {}", implementation.name()));
        }
        _ => output.error(format_args!("used: {used}")),
    }
    for via in BackendKind::ALL.into_iter().filter(|via| *via != used) {
        let works = match via {
            BackendKind::Device | BackendKind::Ioctl => Session::open().map(drop),
            BackendKind::AfAlg => AfAlg::probe(),
            BackendKind::Cpu => Ok(()),
        };
        match works {
            Ok(()) => output.error(format_args!(
                "not used: {via}: works, and --via {via} asks for it"
            )),
            Err(error) => output.error(format_args!("not used: {via}: {error}")),
        }
    }
}

/// Prints a line for each file, and an error for each that cannot be read.
fn print(args: &SumArgs, names: &[OsString], mut summer: Summer, output: &mut Output) -> bool {
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
                    output.flush();
                }
                let line = line(args, &name, short, &mut summer);
                line.map_err(|error| (name, error))
            });
            match line {
                Ok(line) => output.print(&line),
                Err((name, error)) => {
                    output.error(format_args!("{}: {error}", quote(&name)));
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
    let via = summer.backend.kind();
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
    backend: Backend,
    threads: Option<NonZero<usize>>,
}

impl Summer {
    /// Returns how many threads may sum files at the same time.
    pub fn threads(&self) -> usize {
        match self.backend {
            Backend::Cpu(_) => self
                .threads
                .or_else(|| thread::available_parallelism().ok())
                .map_or(1, NonZero::get),
            // Other backends are open once.
            _ => 1,
        }
    }

    /// Returns what sums a short file by the calling thread alone, while others sum others. It leaves
    /// to [`Self::sum`] what is worth all threads, or may keep a reader waiting.
    pub fn short(&self) -> impl Fn(&OsStr) -> Option<Result<Sum, Error>> + Sync {
        let cpu = matches!(self.backend, Backend::Cpu(_));
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
        match self.backend {
            Backend::Cpu(_) => file::checksum(file, self.threads),
            _ => self.backend.checksum_file(file),
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
        let sum = match self.backend {
            Backend::Cpu(_) => file::checksum_range(file, start..end, self.threads)?,
            _ => {
                file.seek(SeekFrom::Start(start)).map_err(Error::Read)?;
                self.backend.checksum(file.take(end - start))?
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
