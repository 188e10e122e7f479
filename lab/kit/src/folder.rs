// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The folder that modules are built against: links to the headers, and the metadata that they lack.
//! Files of the headers' package are left as they are.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};

use crate::headers::{version, Headers};
use crate::metadata::Metadata;
use crate::remove_folder;

/// Copied, to see whether the headers are still those that the folder was made for.
const COPIED: [&str; 2] = [".config", "Module.symvers"];
/// Which compiler wrote the metadata: no other can read it.
const RUSTC: &str = "rust/rustc.version";

/// Whether `folder` was made for these headers, with the compiler that is installed now.
pub fn is_of(folder: &Path, headers: &Headers) -> bool {
    let same = |name: &str| {
        let made_for = fs::read(folder.join(name)).ok();
        made_for.is_some() && made_for == fs::read(headers.dir.join(name)).ok()
    };
    COPIED.into_iter().all(same) && fs::read_to_string(folder.join(RUSTC)).ok() == version("rustc")
}

/// Makes `folder`, which is seen only whole.
pub fn make(folder: &Path, headers: &Headers, metadata: &Metadata) -> Result<()> {
    let mut new = folder.as_os_str().to_owned();
    new.push(".new");
    let new = Path::new(&new);
    for old in [folder, new] {
        remove_folder(old)?;
    }
    fs::create_dir(new).with_context(|| format!("cannot make {}", new.display()))?;
    link_all(&headers.dir, new, &["Makefile", "rust", "scripts"])?;
    for name in COPIED {
        fs::remove_file(new.join(name))?;
        fs::copy(headers.dir.join(name), new.join(name))?;
    }
    // The makefile says where it lies.
    let makefile = fs::read_to_string(headers.dir.join("Makefile"))?;
    let here = |dir: &Path| format!("KBUILD_OUTPUT={}", dir.display());
    fs::write(
        new.join("Makefile"),
        makefile.replace(&here(&headers.dir), &here(folder)),
    )?;
    let scripts = new.join("scripts");
    fs::create_dir(&scripts)?;
    link_all(&headers.dir.join("scripts"), &scripts, &["target.json"])?;
    fs::copy(&metadata.target, scripts.join("target.json"))?;
    fs::create_dir(new.join("rust"))?;
    for file in &metadata.crates {
        let name = file.file_name().context("a crate without a name")?;
        fs::copy(file, new.join("rust").join(name))?;
    }
    fs::write(new.join(RUSTC), version("rustc").unwrap_or_default())?;
    fs::rename(new, folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// Links in `to` all that is in `from`, but for `except`.
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

/// Removes from `cache` the folders of kernels whose headers are no more installed.
pub fn remove_stale(cache: &Path) -> Result<()> {
    for entry in fs::read_dir(cache)? {
        let entry = entry?;
        let headers = Path::new("/lib/modules")
            .join(entry.file_name())
            .join("build");
        if entry.file_type()?.is_dir() && !headers.exists() {
            remove_folder(&entry.path())?;
        }
    }
    Ok(())
}
