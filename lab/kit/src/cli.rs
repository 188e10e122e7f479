// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The command `rust-kernel-kit`.

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use anyhow::Error;
use anyhow::Result;
use clap::Parser;

use crate::cache;
use crate::command;
use crate::directory;
use crate::headers::Headers;
use crate::metadata;
use crate::needs;
use crate::package;
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
    /// Make a package of the metadata, rust-kernel-metadata-RELEASE, in this directory; where it is
    /// installed, nothing is generated
    #[arg(long, value_name = "DIR", conflicts_with_all = ["check", "source"])]
    package: Option<PathBuf>,
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
    let release = match &cli.release {
        Some(release) => release.clone(),
        None => nix::sys::utsname::uname()?
            .release()
            .to_string_lossy()
            .into_owned(),
    };
    let headers = Headers::open(&release)?;
    if cli.check {
        return check(&headers, &cli);
    }
    let dir = provide(&headers, &cli)?;
    match &cli.package {
        Some(packages) => package::make(&dir, &headers, packages),
        None => {
            println!("{}", dir.display());
            Ok(())
        }
    }
}

/// Finds the directory that modules are built against, without making it.
fn find(headers: &Headers, cli: &Cli) -> Result<Option<PathBuf>> {
    if headers.have_metadata() {
        return Ok(Some(headers.dir.clone()));
    }
    cache::find(&cli.cache, headers)
}

/// Prints the directory, or where it can be made.
fn check(headers: &Headers, cli: &Cli) -> Result<()> {
    if let Some(dir) = find(headers, cli)? {
        println!("{}", dir.display());
        return Ok(());
    }
    let release = &headers.release;
    if !package::is_installed(release) {
        needs::check(headers)
            .and_then(|()| {
                let downloads = cache::downloads(&cli.cache, release);
                Source::find(headers, cli.source.clone(), &downloads)
            })
            .with_context(|| cannot(release))?;
    }
    println!("{} can be made", cli.cache.join(release).display());
    Ok(())
}

/// Finds the directory, or makes it.
fn provide(headers: &Headers, cli: &Cli) -> Result<PathBuf> {
    if let Some(dir) = find(headers, cli)? {
        return Ok(dir);
    }
    let release = &headers.release;
    let started = Instant::now();
    if package::is_installed(release) {
        return cache::provide(&cli.cache, headers, |_, _| package::read(headers));
    }
    cache::provide(&cli.cache, headers, |work, downloads| {
        needs::check_space(work)?;
        // The source is downloaded although programs may be missing: once they are installed, there
        // may be no network.
        let source = Source::find(headers, cli.source.clone(), downloads)?;
        let source = source.fetch(work, downloads)?;
        needs::check(headers)?;
        let metadata = metadata::make(headers, &source, work)?;
        let megabytes = |path: &Path| Ok::<_, Error>(directory::size(path)? / 1_000_000);
        command::note(format_args!(
            "{release}: {} s, {} MB of compressed source, {} MB of disk space",
            started.elapsed().as_secs(),
            megabytes(&source)?,
            megabytes(work)? + megabytes(downloads)?,
        ));
        Ok(metadata)
    })
    .with_context(|| cannot(release))
}

fn cannot(release: &str) -> String {
    format!("cannot generate the Rust metadata of {release}")
}
