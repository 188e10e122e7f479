// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Writes the manual pages and the completions of `adler32` and `adler32sum`, from what their help is
//! made of: `adler32-docs FOLDER` makes `FOLDER/man/man1`, as `man` finds it, and `FOLDER/completions`.

mod completions;
mod examples;
mod page;

use std::env;
use std::fs;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;

fn main() -> Result<()> {
    let folder = env::args_os()
        .nth(1)
        .context("usage: adler32-docs FOLDER")?;
    let folder = Path::new(&folder);
    write(&folder.join("completions"), &completions::all()?)?;
    write(&folder.join("man/man1"), &page::all()?)
}

fn write(folder: &Path, files: &[(String, String)]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
