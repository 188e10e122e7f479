// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 sum`.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;

use adler32::Engine;
use adler32::Error;
use adler32::Sum;
use adler32::Via;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;

use crate::console::Console;

/// Print the checksums of files.
///
/// Each line is the checksum in hexadecimal, two spaces and the name. A line that begins with a
/// backslash has a name in which \\, \n and \r stand for a backslash, a newline and a carriage
/// return.
///
/// The exit status is 0 if all files could be read.
#[derive(clap::Args)]
pub struct Args {
    /// Who computes: /dev/adler32, its UPDATE ioctl, an AF_ALG socket, or the processor without the
    /// kernel [default: the first that works of device, afalg, cpu]
    #[arg(long, value_parser = PossibleValuesParser::new(Via::ALL.map(Via::name)).try_map(via))]
    via: Option<Via>,
    /// Files to read; - is the standard input
    #[arg(value_name = "FILE", default_value = "-")]
    files: Vec<OsString>,
}

fn via(name: String) -> Result<Via, &'static str> {
    let found = Via::ALL.into_iter().find(|via| via.name() == name);
    found.ok_or("no such door")
}

/// Prints a line for each file, and an error for each that has none. Returns whether there was none.
pub fn run(args: &Args, console: &mut Console) -> bool {
    let engine = args.via.map_or_else(|| Ok(Engine::first()), Engine::open);
    let mut engine = match engine {
        Ok(engine) => engine,
        Err(error) => {
            console.error(error);
            return false;
        }
    };
    let mut well = true;
    for name in &args.files {
        match checksum(&mut engine, name) {
            Ok(sum) => console.print(&line(sum, name)),
            Err(error) => {
                let (_, name) = escape(name);
                console.error(format_args!("{}: {error}", String::from_utf8_lossy(&name)));
                well = false;
            }
        }
    }
    well
}

fn checksum(engine: &mut Engine, name: &OsStr) -> Result<Sum, Error> {
    if name == "-" {
        engine.checksum_file(io::stdin())
    } else {
        engine.checksum_file(File::open(name).map_err(Error::Read)?)
    }
}

/// The line that coreutils would print.
fn line(sum: Sum, name: &OsStr) -> Vec<u8> {
    let (escaped, name) = escape(name);
    let mut line = Vec::new();
    if escaped {
        line.push(b'\\');
    }
    line.extend_from_slice(format!("{:08x}  ", sum.checksum.value()).as_bytes());
    line.extend_from_slice(&name);
    line.push(b'\n');
    line
}

/// Escapes a name as coreutils does, and tells whether there was anything to escape.
fn escape(name: &OsStr) -> (bool, Vec<u8>) {
    let mut escaped = Vec::new();
    for &byte in name.as_bytes() {
        match byte {
            b'\\' => escaped.extend_from_slice(b"\\\\"),
            b'\n' => escaped.extend_from_slice(b"\\n"),
            b'\r' => escaped.extend_from_slice(b"\\r"),
            _ => escaped.push(byte),
        }
    }
    (escaped.len() != name.len(), escaped)
}
