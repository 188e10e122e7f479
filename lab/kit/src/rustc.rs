// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The rustc for building a kernel, a script that calls the real one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;

/// The name of the script, for make's variable `RUSTC`.
pub const NAME: &str = "rustc";

const SCRIPT: &str = include_str!("../scripts/rustc.sh");

/// Writes the script into the directory `dir`.
pub fn write(dir: &Path) -> Result<()> {
    let file = dir.join(NAME);
    fs::write(&file, SCRIPT)
        .and_then(|()| fs::set_permissions(&file, PermissionsExt::from_mode(0o755)))
        .with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;
    use crate::command;

    #[test]
    fn libraries_of_macros_are_not_optimized() {
        let (dir, real) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(dir.path()).unwrap();
        symlink("/bin/echo", real.path().join(NAME)).unwrap();
        let path = format!("{}:/usr/bin:/bin", real.path().display());
        for (arguments, expected) in [
            (&["-O", "a  b.rs"][..], "-O a  b.rs -Copt-level=0\n"),
            (&["-Copt-level=2", "a.rs"], "-Copt-level=2 a.rs\n"),
            (&["-vV"], "-vV\n"),
        ] {
            let mut sh = Command::new("sh");
            sh.arg(dir.path().join(NAME)).args(arguments);
            assert_eq!(command::output(sh.env("PATH", &path)).unwrap(), expected);
        }
    }
}
