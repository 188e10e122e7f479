// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 bench`.

mod backends;
mod measure;
mod picture;

use std::fs::File;
use std::io;
use std::io::Write;
use std::iter;
use std::path::Path;

use adler32::describe;
use anyhow::anyhow;
use nix::sys::memfd::memfd_create;
use nix::sys::memfd::MFdFlags;

use self::backends::Backends;
use self::backends::Workload;
use self::measure::Measurement;
use self::measure::SHORTEST;
use self::picture::Picture;
use crate::cli::BenchArgs;
use crate::exit_code::ExitCode;
use crate::output::Output;
use crate::quote::quote;

const MIB: usize = 1 << 20;

/// The lengths of data in memory, in addition to the one that the user chooses: a page, which is as
/// long as a small file, and data that fits into the fastest cache and into the next one.
const LENGTHS: [usize; 3] = [SHORTEST, 64 * 1024, MIB];

/// Measures all backends, checks that their checksums are equal, and prints how fast they are.
pub fn run(args: &BenchArgs, output: &mut Output) -> anyhow::Result<ExitCode> {
    let rounds = usize::from(args.rounds);
    let data = noise(usize::from(args.size) * MIB)?;
    let file = match &args.file {
        Some(path) => open(path).map_err(|error| {
            let name = quote(path.as_os_str());
            anyhow!("{name}: {}", describe(&error))
        })?,
        None => temporary(&data).map_err(|error| {
            let error = describe(&error);
            anyhow!("no temporary file: {error}; choose a file by --file")
        })?,
    };
    let mut backends = Backends::open();
    let print = |text: &str, output: &mut Output| {
        if !args.json {
            output.print(text.as_bytes());
        }
    };
    print(&backends.describe(rounds), output);

    let mut measurements = Vec::new();
    let picture = Picture::of_terminal();
    let lengths = LENGTHS.into_iter().filter(|len| *len < data.len());
    let pieces = lengths.chain([data.len()]).map(|len| &data[..len]);
    for workload in iter::once(Workload::File(&file)).chain(pieces.map(Workload::Memory)) {
        // The results so far are shown while the rest is measured.
        output.flush();
        let sum = workload.sum()?;
        let methods = backends.methods(workload, sum.length);
        let measurement = Measurement::take(workload.name(), sum, methods, rounds)?;
        print(&picture.draw(&measurement), output);
        measurements.push(measurement);
    }
    if args.json {
        let report = backends.to_json(rounds, &measurements);
        output.print(format!("{report}\n").as_bytes());
    }
    Ok(ExitCode::Success)
}

/// Returns random bytes, the same each time.
fn noise(len: usize) -> anyhow::Result<Vec<u8>> {
    let mut data = Vec::new();
    data.try_reserve_exact(len)
        .map_err(|_| anyhow!("no memory for {} MiB; choose less by --size", len / MIB))?;
    data.resize(len, 0);
    fastrand::Rng::with_seed(1).fill(&mut data);
    Ok(data)
}

fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    // Other files may have no end, and most cannot be read twice.
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    if metadata.len() == 0 {
        return Err(io::Error::other("empty"));
    }
    Ok(file)
}

/// Makes a file in memory. All of it is in the page cache, so no disk is involved.
fn temporary(data: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("adler32", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(data)?;
    Ok(file)
}
