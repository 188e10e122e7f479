// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 sum`.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::num::NonZero;
use std::os::fd::AsFd;
use std::path::Path;

use adler32::file;
use adler32::Engine;
use adler32::Error;
use adler32::Sum;
use adler32::Via;

use crate::check;
use crate::cli::SumArgs;
use crate::console::Console;
use crate::line;
use crate::line::End;
use crate::quote::quote;
use crate::walk;
use crate::walk::Found;

/// The name that stands for the standard input.
pub const STDIN: &str = "-";

/// Prints the checksums of files, or checks those in lists. Returns whether all went well.
pub fn run(args: &SumArgs, console: &mut Console) -> bool {
    let Some(mut engine) = open(args.via.via(), console) else {
        return false;
    };
    let stdin = [OsString::from(STDIN)];
    let names = match &*args.files {
        [] => &stdin,
        files => files,
    };
    if args.check {
        check::run(args, names, &mut engine, console)
    } else {
        print(args, names, &mut engine, console)
    }
}

/// Opens a door. What closes AF_ALG is not up to most users, so another door does.
fn open(via: Via, console: &mut Console) -> Option<Engine> {
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

/// Prints a line for each file, and an error for each that cannot be read.
fn print(args: &SumArgs, names: &[OsString], engine: &mut Engine, console: &mut Console) -> bool {
    let end = if args.zero { End::Nul } else { End::Newline };
    let mut well = true;
    let mut print = |file: Found| {
        let summed = file.and_then(|name| match checksum(engine, args.threads, &name) {
            Ok(sum) => Ok((name, sum)),
            Err(error) => Err((name, error)),
        });
        match summed {
            Ok((name, sum)) => {
                let checksum = sum.checksum.value();
                console.print(&line::format(args.form(), end, checksum, &name));
            }
            Err((name, error)) => {
                console.error(format_args!("{}: {error}", quote(&name)));
                well = false;
            }
        }
    };
    for name in names {
        if args.recursive && name != STDIN && Path::new(name).is_dir() {
            walk::files(name).for_each(&mut print);
        } else {
            print(Ok(name.clone()));
        }
    }
    well
}

/// Sums a file, or the standard input.
pub fn checksum(
    engine: &mut Engine,
    threads: Option<NonZero<usize>>,
    name: &OsStr,
) -> Result<Sum, Error> {
    let file = if name == STDIN {
        io::stdin().as_fd().try_clone_to_owned().map(File::from)
    } else {
        File::open(name)
    };
    let file = file.map_err(Error::Read)?;
    match engine {
        Engine::Cpu(_) => file::checksum(file, threads),
        _ => engine.checksum_file(file),
    }
}
