// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Measures the hash as kernel code calls it, beside the same implementation in this program.
//!
//! To be started as root in User Mode Linux with the module and those of the tests installed, as
//! `make bench-kernel` does. Elsewhere, a program and the kernel differ in more than what they add.

mod shash;
mod tcrypt;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use clap::ValueEnum;
use serde_json::Map;
use serde_json::Value;

/// Measure the hash of the module.
#[derive(Parser)]
struct Arguments {
    /// What to measure
    #[arg(value_enum, required = true)]
    parts: Vec<Part>,
    /// Write the figures to a file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Part {
    /// The hash beside the same implementation in this program
    Shash,
    /// The kernel's own benchmark
    Tcrypt,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    bench_common::modprobe(&["adler32"])?;
    let mut results = Map::new();
    let release = bench_common::kernel()?;
    println!("kernel {release}");
    results.insert("kernel".to_owned(), Value::from(release));
    for part in &arguments.parts {
        println!();
        match part {
            Part::Shash => results.insert("shash".to_owned(), shash::measure()?),
            Part::Tcrypt => results.insert("tcrypt".to_owned(), tcrypt::measure()?),
        };
    }
    if let Some(path) = arguments.json {
        bench_common::write_json(&path, &Value::from(results))?;
    }
    Ok(())
}
