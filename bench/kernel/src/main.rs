// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Compares the hash as kernel code calls it with the same implementation in this program.
//!
//! Runs as root in User Mode Linux, as started by `make bench-kernel`. The module and those in
//! tests/fixtures must be installed. In other kernels, the two differ in more than the call of the
//! hash.

mod shash;
mod tcrypt;

use std::path::PathBuf;

use adler32_tests::module;
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
    benchmarks: Vec<Benchmark>,
    /// Write the results to this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Benchmark {
    /// The hash and the same implementation in this program
    Shash,
    /// The kernel's own benchmark
    Tcrypt,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    module::ensure_loaded();
    let mut results = Map::new();
    let release = bench_common::kernel()?;
    println!("kernel {release}");
    results.insert("kernel".to_owned(), Value::from(release));
    for benchmark in &arguments.benchmarks {
        println!();
        match benchmark {
            Benchmark::Shash => results.insert("shash".to_owned(), shash::measure()?),
            Benchmark::Tcrypt => results.insert("tcrypt".to_owned(), tcrypt::measure()?),
        };
    }
    if let Some(path) = arguments.json {
        bench_common::write_json(&path, &Value::from(results))?;
    }
    Ok(())
}
