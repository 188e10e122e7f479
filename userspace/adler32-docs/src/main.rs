// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Writes the manual pages and the completions of `adler32` and `adler32sum`, from what their help is
//! made of: `adler32-docs FOLDER` makes `FOLDER/man/man1`, as `man` finds it, and `FOLDER/completions`.

mod examples;
mod page;

use std::env;
use std::fs;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;
use clap_complete::Shell;

fn main() -> Result<()> {
    let folder = env::args_os()
        .nth(1)
        .context("usage: adler32-docs FOLDER")?;
    let folder = Path::new(&folder);
    write_completions(&folder.join("completions"))?;
    write_pages(&folder.join("man/man1"))
}

fn write_completions(folder: &Path) -> Result<()> {
    make(folder)?;
    for mut command in adler32_cli::commands() {
        let name = command.get_name().to_owned();
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            clap_complete::generate_to(shell, &mut command, &name, folder)
                .with_context(|| format!("cannot write to {}", folder.display()))?;
        }
    }
    Ok(())
}

fn write_pages(folder: &Path) -> Result<()> {
    make(folder)?;
    for (name, text) in page::all()? {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}
