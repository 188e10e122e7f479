// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A control group, which limits a disk or memory. Only root can make one.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;

/// A control group with this process and its children, while a value of this type exists.
pub struct ControlGroup(PathBuf);

/// A file of a control group, and what is written to it.
pub type Setting = (&'static str, String);

const ROOT: &str = "/sys/fs/cgroup";

impl ControlGroup {
    /// Makes a group and joins it. The limit is set by `old` in version 1 of control groups, where
    /// each controller has its own directory, and else by `new`.
    pub fn join(controller: &str, old: Setting, new: Setting) -> Result<Self> {
        let above = Path::new(ROOT).join(controller);
        let (above, (name, value)) = match above.is_dir() {
            true => (above, old),
            false => (ROOT.into(), new),
        };
        let path = above.join("adler32-bench");
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let group = Self(path);
        let write = |name, value: &str| {
            let file = group.0.join(name);
            fs::write(&file, value).with_context(|| format!("cannot write {}", file.display()))
        };
        write(name, &value)?;
        write("cgroup.procs", "0")?;
        Ok(group)
    }

    fn leave(&self) -> Result<()> {
        let above = self.0.parent().context("no group above")?;
        fs::write(above.join("cgroup.procs"), "0")?;
        fs::remove_dir(&self.0)?;
        Ok(())
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        if let Err(error) = self.leave() {
            eprintln!("cannot remove {}: {error:#}", self.0.display());
        }
    }
}
