// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 sum --check --audit`: files that no list contains.

use std::collections::HashMap;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use crate::cli::SumArgs;
use crate::walk;
use crate::walk::Found;

/// The files that lists contain.
#[derive(Default)]
pub struct Audit {
    /// Paths from the root without symbolic links, except for the last component.
    listed: HashSet<PathBuf>,
    /// The path of each directory that was asked for.
    directories: HashMap<PathBuf, PathBuf>,
}

impl Audit {
    /// Adds a file.
    pub fn add(&mut self, name: &OsStr) {
        let path = Path::new(name);
        let Some(file) = path.file_name() else {
            return;
        };
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        if !self.directories.contains_key(parent) {
            // Files in a directory that does not exist cannot be found either.
            let Ok(real) = fs::canonicalize(parent) else {
                return;
            };
            self.directories.insert(parent.to_owned(), real);
        }
        self.listed.insert(self.directories[parent].join(file));
    }

    /// Returns the regular files below a directory that were not added.
    pub fn unlisted<'a>(
        &'a self,
        args: &SumArgs,
        directory: &'a Path,
    ) -> impl Iterator<Item = Found> + 'a {
        let real = fs::canonicalize(directory).unwrap_or(directory.to_owned());
        walk::files(directory.as_os_str(), args.one_file_system).filter(move |file| match file {
            Ok(file) => !self.contains(file, directory, &real),
            Err(_) => true,
        })
    }

    fn contains(&self, file: &OsString, directory: &Path, real: &Path) -> bool {
        let below = Path::new(file).strip_prefix(directory);
        below.is_ok_and(|below| self.listed.contains(&real.join(below)))
    }
}
