// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Builds external modules with Kbuild.

use std::ffi::OsStr;
use std::fs;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::process::Stdio;

use anyhow::Context;
use anyhow::Result;
use rust_kernel_kit::command;

use crate::flavour::Variant;
use crate::root::Root;
use crate::sandbox::Caller;

/// Builds the module in `dir` for `variant` as `caller`, with additional `arguments` for make.
///
/// `dir` is an absolute path that is visible in the root. The output goes to
/// `dir`/build/module/RELEASE, which is locked during the build.
pub fn make(
    root: &Root,
    variant: &Variant,
    dir: &Path,
    caller: Option<Caller>,
    arguments: &[impl AsRef<OsStr>],
    stdout: impl Into<Stdio>,
) -> Result<ExitStatus> {
    let output = output_dir(variant, dir);
    let mut mkdir = root.command_in(dir, "mkdir", caller)?;
    command::output(mkdir.arg("-p").arg(&output))?;
    let lock = File::open(&output).with_context(|| format!("no {}", output.display()))?;
    lock.lock()?;
    root.command_in(dir, "make", caller)?
        .args(["--no-print-directory", "-C"])
        .arg(variant.build_dir(root)?)
        .arg(format!("M={}", dir.display()))
        .arg(format!("MO={}", output.display()))
        .args(variant.module_arguments())
        .args(arguments)
        .stdout(stdout)
        .status()
        .context("cannot run make in the root")
}

/// Returns the modules that [`make`] has built.
pub fn built(variant: &Variant, dir: &Path) -> Result<Vec<PathBuf>> {
    let output = output_dir(variant, dir);
    let order = output.join("modules.order");
    let order = fs::read_to_string(&order).with_context(|| format!("no {}", order.display()))?;
    Ok(order
        .lines()
        .map(|object| output.join(object).with_extension("ko"))
        .collect())
}

fn output_dir(variant: &Variant, dir: &Path) -> PathBuf {
    dir.join("build/module").join(&variant.release)
}
