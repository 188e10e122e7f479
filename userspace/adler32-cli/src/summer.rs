// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Sums files with the backend that the options select.

use std::ffi::OsStr;
use std::fs;
use std::fs::File;
use std::fs::Metadata;
use std::io;
use std::io::IsTerminal;
use std::io::Seek;
use std::io::SeekFrom;
use std::num::NonZero;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::thread;

use adler32::file;
use adler32::file::Options;
use adler32::processor;
use adler32::Backend;
use adler32::BackendKind;
use adler32::Error;
use adler32::Session;

use crate::cli::BackendChoice;
use crate::cli::SumArgs;
use crate::cli::STDIN;
use crate::diagnosis;
use crate::diagnosis::Diagnosis;
use crate::output::Output;
use crate::part::Part;
use crate::quote::quote;
use crate::ways::Gauge;
use crate::ways::Summed;

/// How many threads, at least, read short files from a disk, which is faster if it has several
/// requests.
///
/// 10,000 files of 4 KiB on a virtual disk, two processors, median of five rounds in milliseconds
/// (`make bench-cli` compares these numbers of threads):
///
/// | threads | 1 | 2 | 4 | 8 | 16 |
/// |---|---|---|---|---|---|
/// | not in the page cache | 641 | 446 | 306 | 236 | 186 |
/// | in the page cache | 85 | 61 | 68 | 76 | 69 |
const DISK_THREADS: usize = 16;

/// Sums files.
pub struct Summer {
    backend: Backend,
    threads: Option<NonZero<usize>>,
    direct: bool,
    /// Whether the processor may be helped by the device.
    device: bool,
    debug: bool,
    gauge: Gauge,
}

impl Summer {
    /// Opens the backend and shows the progress of its work.
    pub fn new(args: &SumArgs, output: &mut Output) -> anyhow::Result<Self> {
        let backend = open_backend(args.via.kind(), output)?;
        if args.debug {
            explain(&backend, args.via, output);
        }
        let gauge = Gauge::hidden();
        // A bar would disturb a user who types the data, or who wants no output.
        let typed = args.files.iter().any(|name| name == STDIN) && io::stdin().is_terminal();
        if !typed && !args.quiet && !args.status {
            // The files in lists and directories are not known yet, and a range is only a part.
            let known = !args.check
                && !args.recursive
                && args.range.is_none()
                && args.files0_from.is_none();
            output.show_progress(&gauge.bar, known.then_some(&args.files));
        }
        Ok(Self {
            backend,
            threads: args.threads,
            direct: args.direct,
            device: matches!(args.via, BackendChoice::Auto),
            debug: args.debug,
            gauge,
        })
    }

    /// Returns the backend.
    pub fn backend(&self) -> BackendKind {
        self.backend.kind()
    }

    /// Returns a function that returns how many threads may sum files at the same time. The number
    /// grows when a file was on a disk.
    pub fn threads(&self) -> impl Fn() -> usize {
        let gauge = self.gauge.clone();
        let cpu = matches!(self.backend, Backend::Cpu(_));
        let wanted = self.threads.map(NonZero::get);
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        move || match wanted {
            // The other backends are opened only once.
            _ if !cpu => 1,
            Some(wanted) => wanted,
            None if gauge.disk() => processors.max(DISK_THREADS),
            None => processors,
        }
    }

    /// Returns a function that sums a short file on the calling thread, while other threads sum
    /// other files. It returns `None` for a file that is worth several threads or may make a reader
    /// wait; [`Self::sum`] sums this file.
    pub fn short(&self) -> impl Fn(&OsStr) -> Option<Result<Summed, Error>> + Sync {
        let cpu = matches!(self.backend, Backend::Cpu(_));
        let short = self.short_file();
        move |name| {
            if !cpu || name == STDIN || !is_short(&fs::metadata(name).ok()?) {
                return None;
            }
            match File::open(name) {
                Ok(file) => short(&file),
                Err(error) => Some(Err(Error::Read(error))),
            }
        }
    }

    /// Does the same as [`Self::short`] for an open file.
    pub fn short_file(&self) -> impl Fn(&File) -> Option<Result<Summed, Error>> + Sync {
        let cpu = matches!(self.backend, Backend::Cpu(_));
        let (gauge, direct) = (self.gauge.clone(), self.direct);
        move |file| {
            if !cpu || !is_short(&file.metadata().ok()?) {
                return None;
            }
            Some(Summed::count(&gauge, |progress| {
                let options = Options {
                    threads: Some(NonZero::<usize>::MIN),
                    progress: Some(progress),
                    direct,
                    ..Options::default()
                };
                file::checksum(file, options)
            }))
        }
    }

    /// Sums a file or the standard input.
    pub fn sum(&mut self, name: &OsStr) -> Result<Summed, Error> {
        self.sum_file(&open(name)?)
    }

    /// Sums an open file.
    pub fn sum_file(&mut self, file: &File) -> Result<Summed, Error> {
        let options = self.options();
        Summed::count(&self.gauge, |progress| {
            let progress = Some(progress);
            let options = Options {
                progress,
                ..options
            };
            self.backend.checksum_file(file, options)
        })
    }

    fn options(&self) -> Options<'static> {
        Options {
            threads: self.threads,
            direct: self.direct,
            device: self.device,
            progress: None,
        }
    }

    /// Reports how the bytes of a file came, if the user wants to know.
    pub fn explain(&self, name: &OsStr, summed: &Summed, output: &mut Output) {
        if self.debug {
            output.error(format_args!("{}: {}", quote(name), summed.ways.text()));
        }
    }

    /// Sums a range of a file.
    pub fn part(&mut self, name: &OsStr, range: &Range<u64>) -> Result<(Part, Summed), Error> {
        let file = open(name)?;
        let size = size(&file)?;
        let (start, end) = (range.start, range.end.min(size));
        if start > size {
            let text = format!("the range begins at {start}, after the end at {size}");
            return Err(Error::Read(io::Error::other(text)));
        }
        let options = self.options();
        let summed = Summed::count(&self.gauge, |progress| {
            let progress = Some(progress);
            let options = Options {
                progress,
                ..options
            };
            self.backend.checksum_range(file, start..end, options)
        })?;
        // A file in `/sys` reports the size of a page. Its parts would never make up the whole.
        let found = start + summed.sum.length;
        if found < end {
            let text = format!(
                "ends at {found}, but its size was {size}; sum it again, or without --range"
            );
            return Err(Error::Read(io::Error::other(text)));
        }
        let part = Part {
            name: name.to_owned(),
            size,
            offset: start,
            sum: summed.sum,
        };
        Ok((part, summed))
    }
}

/// Returns whether one thread should sum the file.
fn is_short(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.len() < file::PARALLEL_FROM
}

/// Opens a backend. If AF_ALG is unavailable, opens another one, because most users cannot change
/// the reason.
fn open_backend(kind: BackendKind, output: &mut Output) -> anyhow::Result<Backend> {
    let diagnosis = match Backend::open(kind) {
        Ok(backend) => return Ok(backend),
        Err(error) => Diagnosis::of(error),
    };
    if kind != BackendKind::AfAlg {
        anyhow::bail!("{diagnosis}");
    }
    let backend = Backend::first();
    let other = backend.kind();
    output.error(format_args!("{diagnosis} (used instead: {other})"));
    Ok(backend)
}

/// Reports which backend is used, and why the others are not.
fn explain(backend: &Backend, choice: BackendChoice, output: &mut Output) {
    let used = backend.kind();
    match backend {
        Backend::Cpu(_) => {
            let implementation = processor::fastest();
            output.error(format_args!("used: {used}, {}", implementation.name()));
        }
        _ => output.error(format_args!("used: {used}")),
    }
    for kind in BackendKind::ALL.into_iter().filter(|kind| *kind != used) {
        let available = match kind {
            BackendKind::Device | BackendKind::Ioctl => {
                Session::open().map(drop).map_err(Diagnosis::of)
            }
            BackendKind::AfAlg => diagnosis::probe_af_alg(),
            BackendKind::Cpu => Ok(()),
        };
        match available {
            Ok(()) if kind == BackendKind::Device && matches!(choice, BackendChoice::Auto) => {
                output.error(format_args!(
                    "used for long files in the page cache: {kind}"
                ));
            }
            Ok(()) => output.error(format_args!(
                "not used: {kind}: available; --via {kind} selects it"
            )),
            Err(diagnosis) => output.error(format_args!("not used: {kind}: {diagnosis}")),
        }
    }
}

/// Returns the size of a file. A pipe has no size. Files such as `/dev/zero` and those in `/proc`
/// report a size of 0, but contain bytes.
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

/// Opens a file or the standard input.
pub fn open(name: &OsStr) -> Result<File, Error> {
    let file = if name == STDIN {
        // The buffer of `io::stdin()` could take bytes that belong to the next list, and
        // `io::stdin()` treats a closed file as empty.
        io::stdin().as_fd().try_clone_to_owned().map(File::from)
    } else {
        File::open(name)
    };
    file.map_err(Error::Read)
}
