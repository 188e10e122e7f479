// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The directory that modules are built against. It contains symbolic links to the headers, which
//! stay as their package installed them, and the metadata that the headers lack.

use std::fs;
use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;

use crate::directory;
use crate::headers::version;
use crate::headers::Headers;
use crate::metadata::Metadata;

/// Files that are copied instead of linked, to notice when the headers change.
const COPIED: [&str; 2] = [".config", "Module.symvers"];
/// The file that names the compiler of the metadata: no other compiler can read the metadata.
const RUSTC: &str = "rust/rustc.version";

/// Returns whether `dir` was made for these headers with the compiler that is installed now.
pub fn is_current(dir: &Path, headers: &Headers) -> bool {
    let same = |name: &str| {
        let made_for = fs::read(dir.join(name)).ok();
        made_for.is_some() && made_for == fs::read(headers.dir.join(name)).ok()
    };
    COPIED.into_iter().all(same) && fs::read_to_string(dir.join(RUSTC)).ok() == version("rustc")
}

/// Makes `dir`. It appears under its name only when it is complete.
pub fn make(dir: &Path, headers: &Headers, metadata: &Metadata) -> Result<()> {
    let mut new = dir.as_os_str().to_owned();
    new.push(".new");
    let new = Path::new(&new);
    directory::make(new)?;
    link_all(&headers.dir, new, &["Makefile", "rust", "scripts"])?;
    for name in COPIED {
        fs::remove_file(new.join(name))?;
        fs::copy(headers.dir.join(name), new.join(name))?;
    }
    // The makefile contains the path of its own directory.
    let makefile = fs::read_to_string(headers.dir.join("Makefile"))?;
    let here = |dir: &Path| format!("KBUILD_OUTPUT={}", dir.display());
    fs::write(
        new.join("Makefile"),
        makefile.replace(&here(&headers.dir), &here(dir)),
    )?;
    let scripts = new.join("scripts");
    fs::create_dir(&scripts)?;
    link_all(&headers.dir.join("scripts"), &scripts, &["target.json"])?;
    if let Some(target) = &metadata.target {
        fs::copy(target, scripts.join("target.json"))?;
    }
    fs::create_dir(new.join("rust"))?;
    for file in &metadata.crates {
        let name = file.file_name().context("a crate without a name")?;
        fs::copy(file, new.join("rust").join(name))?;
    }
    fs::write(new.join(RUSTC), version("rustc").unwrap_or_default())?;
    // After a power failure, no file of a directory with the final name may be incomplete.
    sync(new)?;
    directory::remove(dir)?;
    fs::rename(new, dir).with_context(|| format!("cannot make {}", dir.display()))
}

/// Writes the files in `dir` to the disk.
fn sync(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync(&entry.path())?;
        } else if entry.file_type()?.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(dir)?.sync_all()?;
    Ok(())
}

/// Makes symbolic links in `to` to everything in `from` except for `except`.
fn link_all(from: &Path, to: &Path, except: &[&str]) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        if !except.iter().any(|except| name == *except) {
            symlink(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}
