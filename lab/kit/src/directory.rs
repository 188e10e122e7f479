// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Directories that are made again.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;

/// Removes `dir` with its contents, if it exists.
pub fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.with_context(|| format!("cannot remove {}", dir.display())),
    }
}
