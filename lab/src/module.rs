// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Building an external module with Kbuild.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result};

use crate::flavour::Target;
use crate::root::Root;
use crate::sandbox::Caller;

/// Builds the module in `dir` (absolute, shown in the root) against `target` as `caller`, with more
/// `arguments` for make. The output goes to `dir`/build/module/RELEASE, where others that build the
/// same wait for their turn.
pub fn make(
    root: &Root,
    target: &Target,
    dir: &Path,
    caller: Option<Caller>,
    arguments: &[impl AsRef<OsStr>],
    stdout: impl Into<Stdio>,
) -> Result<ExitStatus> {
    let output = output_dir(target, dir);
    let mut mkdir = root.command_in(dir, "mkdir", caller)?;
    root.output(mkdir.arg("-p").arg(&output))?;
    let folder = File::open(&output).with_context(|| format!("no {}", output.display()))?;
    folder.lock()?;
    root.command_in(dir, "make", caller)?
        .args(["--no-print-directory", "-C"])
        .arg(target.module_folder(root)?)
        .arg(format!("M={}", dir.display()))
        .arg(format!("MO={}", output.display()))
        .args(target.module_arguments())
        .args(arguments)
        .stdout(stdout)
        .status()
        .context("cannot run make in the root")
}

/// The modules that [`make`] has made.
pub fn built(target: &Target, dir: &Path) -> Result<Vec<PathBuf>> {
    let output = output_dir(target, dir);
    let order = output.join("modules.order");
    let order = fs::read_to_string(&order).with_context(|| format!("no {}", order.display()))?;
    Ok(order
        .lines()
        .map(|object| output.join(object).with_extension("ko"))
        .collect())
}

fn output_dir(target: &Target, dir: &Path) -> PathBuf {
    dir.join("build/module").join(&target.release)
}
