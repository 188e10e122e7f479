// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The command `rust-kernel-kit`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use clap::Parser;

use crate::cache;
use crate::headers::Headers;
use crate::metadata;
use crate::needs;
use crate::source::Source;

/// The name of the command.
pub const NAME: &str = "rust-kernel-kit";

/// Print the directory that Rust modules for a kernel are built against, and make it if needed
///
/// Rust modules are built with the metadata of the kernel's Rust crates, which Debian's headers
/// lack. If a kernel's headers contain the metadata, the directory of the headers is printed.
/// Otherwise, the metadata is generated, in a directory in the cache that also contains symbolic
/// links to the headers. That takes one to three minutes, once for each kernel. If packages are
/// missing, the error names them.
#[derive(Parser)]
#[command(name = NAME, version)]
struct Cli {
    /// The kernel's release, as `uname -r` prints it; by default that of the running kernel
    release: Option<String>,
    /// Make nothing; only report whether the directory exists or can be made
    #[arg(long)]
    check: bool,
    /// The kernel source, NAME.tar.xz or a linux-source package; by default, the linux-source
    /// package of the same version, which is downloaded if it is not installed
    #[arg(long, value_name = "FILE")]
    source: Option<PathBuf>,
    /// The cache: a new or empty directory, or one that the command used before
    #[arg(long, value_name = "DIR", default_value = "/var/cache/rust-kernel-kit")]
    cache: PathBuf,
}

/// Runs the command. The directory is printed to standard output, messages to standard error.
pub fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{NAME}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let release = match cli.release {
        Some(release) => release,
        None => nix::sys::utsname::uname()?
            .release()
            .to_string_lossy()
            .into_owned(),
    };
    let headers = Headers::open(&release)?;
    if headers.have_metadata() {
        println!("{}", headers.dir.display());
        return Ok(());
    }
    if let Some(dir) = cache::find(&cli.cache, &headers)? {
        println!("{}", dir.display());
        return Ok(());
    }
    let missing = needs::missing(&headers);
    if !missing.is_empty() {
        bail!(
            "cannot generate the Rust metadata of {release}: {}",
            missing.join("; ")
        );
    }
    let source = Source::find(&headers, cli.source)
        .with_context(|| format!("cannot generate the Rust metadata of {release}"))?;
    if cli.check {
        println!("{} can be made", cli.cache.join(&release).display());
        return Ok(());
    }

    let dir = cache::provide(&cli.cache, &headers, |work| {
        metadata::make(&headers, &source, work)
    })?;
    println!("{}", dir.display());
    Ok(())
}
