// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Building an external module with Kbuild.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::{Context, Result};

use crate::kernel::Kernel;
use crate::root::Root;
use crate::sandbox::Caller;

/// Builds the module in `dir` (absolute, shown in the root) against `kernel` as `caller`, with its
/// output in `dir`/build/module/RELEASE. Returns make's exit status.
pub fn build(
    root: &Root,
    kernel: &Kernel,
    dir: &Path,
    caller: Option<Caller>,
    arguments: &[String],
) -> Result<ExitStatus> {
    let output = output_dir(kernel, dir);
    let mut make = root.command_in(dir, "make", caller)?;
    make.args(["--no-print-directory", "-C"])
        .arg(format!("/lib/modules/{}/build", kernel.release))
        .arg(format!("M={}", dir.display()))
        .arg(format!("MO={}", output.display()))
        .args(arguments);
    if !arguments
        .iter()
        .any(|argument| !argument.contains('=') && !argument.starts_with('-'))
    {
        make.arg("modules");
    }
    let mut mkdir = root.command_in(dir, "mkdir", caller)?;
    root.output(mkdir.arg("-p").arg(&output))?;
    make.status().context("cannot run make in the root")
}

/// The modules that [`build`] has made.
pub fn built(kernel: &Kernel, dir: &Path) -> Result<Vec<PathBuf>> {
    let mut modules = Vec::new();
    for entry in fs::read_dir(output_dir(kernel, dir))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "ko") {
            modules.push(path);
        }
    }
    Ok(modules)
}

fn output_dir(kernel: &Kernel, dir: &Path) -> PathBuf {
    dir.join("build/module").join(&kernel.release)
}
