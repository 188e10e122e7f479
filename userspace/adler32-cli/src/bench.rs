// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 bench`.

use std::env;
use std::fmt::Display;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::Write;
use std::iter;
use std::num::NonZero;
use std::path::Path;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use adler32::describe;
use adler32::file;
use adler32::host;
use adler32::processor;
use adler32::Adler32;
use adler32::AfAlg;
use adler32::Backend;
use adler32::BackendKind;
use adler32::Error;
use adler32::Hasher;
use adler32::Sum;
use console::Term;
use indicatif::HumanBytes;
use nix::sys::memfd::memfd_create;
use nix::sys::memfd::MFdFlags;
use serde_json::json;
use serde_json::Map;
use serde_json::Value;

use crate::cli::BenchArgs;
use crate::output::Output;
use crate::quote::quote;

const MIB: usize = 1 << 20;

/// The pieces of memory, beside one as long as the user likes: of a page, as of small files, in the
/// fastest cache and in the next.
const PIECES: [usize; 3] = [4096, 64 * 1024, MIB];

/// How many bytes are summed between two looks at the clock, if they are not more at once. Shorter
/// sources than the shortest piece are summed as often as that is: it is the calls that take the time.
const BATCH: usize = 4 * MIB;

/// How many bytes are read at a time where nothing sums them, and where they are put: as the
/// library does it for long files.
const READ: usize = 2 * MIB;
const PAGE: usize = 4096;

/// The columns of a row before the bar.
const LABEL: usize = 19;
const FIGURE: usize = 8;

/// Measures all backends and prints how fast they are. Returns whether all went well and they agreed.
pub fn run(args: &BenchArgs, output: &mut Output) -> bool {
    match bench(args, output) {
        Ok(()) => true,
        Err(error) => {
            output.error(error);
            false
        }
    }
}

fn bench(args: &BenchArgs, output: &mut Output) -> Result<(), String> {
    let rounds = usize::from(args.rounds.get());
    let data = noise(usize::from(args.size.get()) * MIB)?;
    let file = match &args.file {
        Some(path) => open(path).map_err(|error| {
            let name = quote(path.as_os_str());
            format!("{name}: {}", describe(&error))
        })?,
        None => temporary(&data).map_err(|error| {
            let error = describe(&error);
            format!("no temporary file: {error}; name a file by --file")
        })?,
    };
    let mut backends = Backends::open();
    let print = |line: &str, output: &mut Output| {
        if !args.json {
            output.print(line.as_bytes());
        }
    };
    print(&backends.describe(rounds), output);

    let mut groups = Vec::new();
    let picture = Picture::of_terminal();
    let lengths = PIECES.into_iter().filter(|len| *len < data.len());
    let pieces = lengths.chain([data.len()]).map(|len| &data[..len]);
    let sources = iter::once(Source::File(&file)).chain(pieces.map(Source::Memory));
    for source in sources {
        // What there is so far is shown while the rest is measured.
        output.flush();
        let sum = source.sum().map_err(|error| error.to_string())?;
        let contenders = backends.contenders(source, sum.length);
        let group = Group::measure(source.name(), sum, contenders, rounds)?;
        print(&picture.draw(&group), output);
        groups.push(group);
    }
    if args.json {
        let report = backends.to_json(rounds, &groups);
        output.print(format!("{report}\n").as_bytes());
    }
    Ok(())
}

/// Returns bytes of which none tells the next.
fn noise(len: usize) -> Result<Vec<u8>, String> {
    let mut data = Vec::new();
    data.try_reserve_exact(len)
        .map_err(|_| format!("no memory for {} MiB; ask for less by --size", len / MIB))?;
    data.resize(len, 0);
    fastrand::Rng::with_seed(1).fill(&mut data);
    Ok(data)
}

fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    // Others may have no end, and most have nothing to read a second time.
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    if metadata.len() == 0 {
        return Err(io::Error::other("empty"));
    }
    Ok(file)
}

/// Makes a file in memory: the page cache is all it has, and no disk is waited for.
fn temporary(data: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("adler32", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(data)?;
    Ok(file)
}

/// Where data come from.
#[derive(Clone, Copy)]
enum Source<'a> {
    /// A file, which is in the page cache when it has been read once.
    File(&'a File),
    /// A piece of memory.
    Memory(&'a [u8]),
}

impl Source<'_> {
    fn name(self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Memory(_) => "memory",
        }
    }

    /// What all are to find.
    fn sum(self) -> Result<Sum, Error> {
        match self {
            Self::File(file) => file::checksum(rewound(file)?, None),
            Self::Memory(data) => Backend::Cpu(Hasher::new()).checksum_bytes(data),
        }
    }

    /// From how many bytes on the processor, left to itself, takes several threads.
    fn parallel_from(self) -> u64 {
        match self {
            Self::File(_) => file::PARALLEL_FROM,
            Self::Memory(_) => processor::PARALLEL_FROM as u64,
        }
    }
}

/// The backends of this machine.
struct Backends {
    open: Vec<Backend>,
    /// Those that are not open, and why.
    closed: Vec<(BackendKind, String)>,
}

impl Backends {
    fn open() -> Self {
        let mut backends = Self {
            open: Vec::new(),
            closed: Vec::new(),
        };
        for via in [BackendKind::Device, BackendKind::Ioctl, BackendKind::AfAlg] {
            // Opening AF_ALG could load the module, and the device would be there later on.
            let works = match via {
                BackendKind::AfAlg => AfAlg::probe(),
                _ => Ok(()),
            };
            match works.and_then(|()| Backend::open(via)) {
                Ok(backend) => backends.open.push(backend),
                Err(error) => backends.closed.push((via, error.to_string())),
            }
        }
        backends
    }

    /// The implementation of the module, as far as the device tells.
    fn module(&self) -> Option<String> {
        self.open.iter().find_map(|backend| match backend {
            Backend::Device(session) => Some(session.info().ok()?.implementation),
            _ => None,
        })
    }

    /// Says what is measured and what is not.
    fn describe(&self, rounds: usize) -> String {
        let mut text = String::new();
        let mut line = |label: &str, value: &dyn Display| {
            text += &format!("{label:<LABEL$}{value}\n");
        };
        if let Ok(release) = host::kernel_release() {
            line("kernel", &release);
        }
        line(BackendKind::Cpu.name(), &processor::fastest().name());
        line("threads", &threads());
        if let Some(implementation) = self.module() {
            line("module", &implementation);
        }
        for same in self.closed.chunk_by(|(_, a), (_, b)| a == b) {
            let names: Vec<_> = same.iter().map(|(via, _)| via.name()).collect();
            line(&names.join(", "), &same[0].1);
        }
        line("rounds", &rounds);
        text
    }

    fn to_json(&self, rounds: usize, groups: &[Group]) -> Value {
        let closed = self.closed.iter();
        let closed: Map<_, _> = closed
            .map(|(via, why)| (via.name().to_owned(), why.as_str().into()))
            .collect();
        json!({
            "kernel": host::kernel_release().ok(),
            "cpu": processor::fastest().name(),
            "threads": threads(),
            "module": self.module(),
            "closed": closed,
            "rounds": rounds,
            "unit": "GB/s",
            "sources": groups.iter().map(Group::to_json).collect::<Vec<_>>(),
        })
    }

    /// All that can be done with a source of so many bytes.
    fn contenders<'a>(&'a mut self, source: Source<'a>, len: u64) -> Vec<Contender<'a>> {
        let mut contenders = Vec::new();
        if let Source::File(file) = source {
            let mut memory = vec![0; READ + PAGE];
            contenders.push(Contender::new("read alone", move || {
                let start = memory.as_ptr().align_offset(PAGE);
                read_alone(rewound(file)?, &mut memory[start..][..READ])?;
                Ok(None)
            }));
        }
        let parallel = len >= source.parallel_from() && threads() > 1;
        let one = parallel.then_some(("cpu, 1 thread", NonZero::new(1)));
        for (name, threads) in iter::once((BackendKind::Cpu.name(), None)).chain(one) {
            contenders.push(Contender::new(name, move || {
                match source {
                    Source::File(file) => file::checksum(rewound(file)?, threads),
                    Source::Memory(data) if threads.is_none() => Ok(update_parallel(data)),
                    Source::Memory(_) => source.sum(),
                }
                .map(Some)
            }));
        }
        for backend in &mut self.open {
            contenders.push(Contender::new(backend.kind().name(), move || {
                match source {
                    Source::File(file) => backend.checksum_file(rewound(file)?),
                    Source::Memory(data) => backend.checksum_bytes(data),
                }
                .map(Some)
            }));
        }
        contenders
    }
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

fn rewound(mut file: &File) -> Result<&File, Error> {
    file.rewind().map_err(Error::Read)?;
    Ok(file)
}

fn read_alone(mut file: &File, buffer: &mut [u8]) -> Result<(), Error> {
    while file.read(buffer).map_err(Error::Read)? > 0 {}
    Ok(())
}

fn update_parallel(data: &[u8]) -> Sum {
    Sum {
        checksum: processor::update_parallel(Adler32::EMPTY, data),
        length: data.len() as u64,
    }
}

/// A way to go through a source.
struct Contender<'a> {
    name: &'static str,
    /// Goes through it once. Returns the checksum, if it computes one.
    pass: Box<dyn FnMut() -> Result<Option<Sum>, Error> + 'a>,
}

impl<'a> Contender<'a> {
    fn new(name: &'static str, pass: impl FnMut() -> Result<Option<Sum>, Error> + 'a) -> Self {
        Self {
            name,
            pass: Box::new(pass),
        }
    }

    /// Goes through it so many times, and returns how long one took.
    fn time(&mut self, expected: Sum, passes: u32) -> Result<Duration, String> {
        let start = Instant::now();
        for _ in 0..passes {
            let found = (self.pass)().map_err(|error| format!("{}: {error}", self.name))?;
            if found.is_some_and(|found| found != expected) {
                let text =
                    |sum: Sum| format!("{:08x} of {} bytes", sum.checksum.value(), sum.length);
                let (found, expected) = (found.map_or_else(String::new, text), text(expected));
                return Err(format!("{}: wrong: {found}, and not {expected}", self.name));
            }
        }
        Ok(start.elapsed() / passes)
    }
}

/// What was found for a source.
struct Group {
    source: &'static str,
    sum: Sum,
    figures: Vec<Figure>,
}

/// How fast a contender was, in GB/s.
struct Figure {
    name: &'static str,
    best: f64,
    median: f64,
}

impl Group {
    /// Times all contenders by turns, so that whatever else happens on the machine happens to all of
    /// them.
    fn measure(
        source: &'static str,
        sum: Sum,
        mut contenders: Vec<Contender>,
        rounds: usize,
    ) -> Result<Self, String> {
        let shortest = PIECES[0] as u64;
        let passes = (BATCH as u64 / sum.length.max(shortest)).max(1) as u32;
        let mut times = vec![Vec::with_capacity(rounds); contenders.len()];
        let mut order: Vec<_> = (0..contenders.len()).collect();
        for _ in 0..rounds {
            // Nobody always comes first, or after the same other.
            fastrand::shuffle(&mut order);
            for &turn in &order {
                times[turn].push(contenders[turn].time(sum, passes)?);
            }
        }
        let rate = |time: Duration| sum.length as f64 / time.as_secs_f64() / 1e9;
        let figures = contenders.iter().zip(times).map(|(contender, mut times)| {
            times.sort();
            Figure {
                name: contender.name,
                best: rate(times[0]),
                median: rate(times[times.len() / 2]),
            }
        });
        Ok(Self {
            source,
            sum,
            figures: figures.collect(),
        })
    }

    fn to_json(&self) -> Value {
        let figures = self.figures.iter();
        let backends: Vec<_> = figures
            .map(|Figure { name, best, median }| {
                json!({ "name": name, "best": best, "median": median })
            })
            .collect();
        json!({
            "source": self.source,
            "length": self.sum.length,
            "adler32": format!("{:08x}", self.sum.checksum.value()),
            "backends": backends,
        })
    }
}

/// How to draw.
struct Picture {
    columns: usize,
    /// Whether there are blocks, of which the last can be narrower.
    blocks: bool,
}

impl Picture {
    /// For the terminal, or the usual one if the output goes elsewhere.
    fn of_terminal() -> Self {
        let size = Term::stdout().size_checked();
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| {
            let value = env::var(name).ok();
            value.filter(|value| !value.is_empty())
        });
        let charset = locale.unwrap_or_default().to_lowercase().replace('-', "");
        Self {
            columns: size.map_or(80, |(_, columns)| columns.into()),
            blocks: charset.contains("utf8"),
        }
    }

    /// A table with a bar in each row, which are in proportion to each other.
    fn draw(&self, group: &Group) -> String {
        let title = format!("{}, {}", group.source, HumanBytes(group.sum.length));
        let mut text = format!(
            "\n{title:<LABEL$}{:>FIGURE$}{:>FIGURE$}  GB/s\n",
            "best", "median"
        );
        let best = group.figures.iter().map(|figure| figure.best);
        let longest = best.fold(0.0, f64::max);
        for Figure { name, best, median } in &group.figures {
            let bar = self.bar(best / longest);
            let row = format!("{name:<LABEL$}{best:>FIGURE$.2}{median:>FIGURE$.2}  {bar}");
            text += row.trim_end();
            text.push('\n');
        }
        text
    }

    /// A bar of that part of the longest one.
    fn bar(&self, part: f64) -> String {
        const NARROWER: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
        let longest = self.columns.saturating_sub(LABEL + 2 * FIGURE + 2).max(1) as f64;
        if self.blocks {
            let eighths = (part * longest * 8.0).round() as usize;
            "█".repeat(eighths / 8) + NARROWER[eighths % 8]
        } else {
            "#".repeat((part * longest).round() as usize)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(data: &[u8]) -> Sum {
        Source::Memory(data).sum().expect("no file is read")
    }

    #[test]
    fn a_wrong_answer_is_an_error() {
        let data = b"Wikipedia";
        let contenders = |second| {
            let answer = |sum| move || Ok(Some(sum));
            vec![
                Contender::new("none", || Ok(None)),
                Contender::new("first", answer(sum(data))),
                Contender::new("second", answer(sum(second))),
            ]
        };
        let group = Group::measure("memory", sum(data), contenders(data), 3).expect("all agree");
        assert_eq!(group.figures.len(), 3);
        let error = Group::measure("memory", sum(data), contenders(b"abc"), 3).err();
        let text = "second: wrong: 024d0127 of 3 bytes, and not 11e60398 of 9 bytes";
        assert_eq!(error.as_deref(), Some(text));
    }

    #[test]
    fn bars_are_in_proportion() {
        let mut picture = Picture {
            columns: LABEL + 2 * FIGURE + 2 + 4,
            blocks: true,
        };
        for (part, blocks, hashes) in [
            (1.0, "████", "####"),
            (0.5, "██", "##"),
            (0.4, "█▋", "##"),
            (0.0, "", ""),
        ] {
            picture.blocks = true;
            assert_eq!(picture.bar(part), blocks);
            picture.blocks = false;
            assert_eq!(picture.bar(part), hashes);
        }
    }
}
