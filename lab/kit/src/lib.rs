// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the headers of a stock kernel lack for building Rust modules, made from the distribution's
//! own sources and kept beside them.
//!
//! Debian's headers come without `rust/*.rmeta`, `rust/*.so` and `scripts/target.json`, so no Rust
//! module builds against them. The same sources, configuration and compilers give them again; that
//! they are the right ones shows in the names of the symbols, which are made of hashes over them.

pub mod archive;
mod folder;
mod headers;
mod metadata;
mod needs;
pub mod progress;
mod source;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{bail, Context, Result};
use clap::Parser;
use nix::fcntl::{Flock, FlockArg};

use headers::Headers;
use source::Source;

/// The name of the command.
pub const NAME: &str = "rust-kernel-kit";

/// Print the folder that Rust modules are built against, and make it if need be
///
/// The kernel's headers are that folder if they have the Rust metadata. If not, it is made in the cache,
/// with links to the headers: that takes two minutes, once for each kernel. Packages that are needed
/// for it and missing are named.
#[derive(Parser)]
#[command(name = NAME, version)]
struct Cli {
    /// What `uname -r` says in the kernel; the running one if not given
    release: Option<String>,
    /// Only say whether the folder is there or can be made
    #[arg(long)]
    check: bool,
    /// The kernel's sources, NAME.tar.xz or a linux-source package; if not given, the linux-source
    /// package of the same version, which is downloaded unless it is installed
    #[arg(long, value_name = "FILE")]
    source: Option<PathBuf>,
    /// Where what was made is kept
    #[arg(long, value_name = "DIR", default_value = "/var/cache/rust-kernel-kit")]
    cache: PathBuf,
}

/// The command: the folder goes to standard output, all else to standard error.
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
    let folder = cli.cache.join(&release);
    if folder::is_of(&folder, &headers) {
        println!("{}", folder.display());
        return Ok(());
    }
    let missing = needs::missing(&headers);
    if !missing.is_empty() {
        bail!(
            "cannot make the Rust metadata of {release}: {}",
            missing.join("; ")
        );
    }
    let source = Source::find(&headers, cli.source)
        .with_context(|| format!("cannot make the Rust metadata of {release}"))?;
    if cli.check {
        println!("{} can be made", folder.display());
        return Ok(());
    }

    fs::create_dir_all(&cli.cache)
        .with_context(|| format!("cannot make {}: run {NAME} as root", cli.cache.display()))?;
    let lock = File::create(cli.cache.join("lock")).with_context(|| {
        format!(
            "cannot write in {}: run {NAME} as root",
            cli.cache.display()
        )
    })?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
    if !folder::is_of(&folder, &headers) {
        folder::remove_stale(&cli.cache)?;
        let work = cli.cache.join(format!("{release}.work"));
        let made = metadata::make(&headers, &source, &work)
            .and_then(|metadata| folder::make(&folder, &headers, &metadata));
        // The sources are large, and not to stay whatever came of them.
        remove_folder(&work)?;
        made?;
    }
    println!("{}", folder.display());
    Ok(())
}

/// Removes a folder and all in it, if it is there.
pub fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.with_context(|| format!("cannot remove {}", folder.display())),
    }
}
