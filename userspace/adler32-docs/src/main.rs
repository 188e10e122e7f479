// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Writes the manual pages and the shell completions of `adler32` and `adler32sum`.
//!
//! `adler32-docs DIRECTORY` writes to `DIRECTORY/man/man1` and `DIRECTORY/completions`. All texts
//! come from the definition of the command line.

mod completions;
mod examples;
mod page;

use std::env;
use std::fs;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;

fn main() -> Result<()> {
    let directory = env::args_os()
        .nth(1)
        .context("usage: adler32-docs DIRECTORY")?;
    let directory = Path::new(&directory);
    write(&directory.join("completions"), &completions::all()?)?;
    write(&directory.join("man/man1"), &page::all()?)
}

fn write(directory: &Path, files: &[(String, String)]) -> Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    for (name, text) in files {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
