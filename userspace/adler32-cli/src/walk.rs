// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 sum --recursive`.

use std::ffi::OsStr;
use std::ffi::OsString;

use adler32::Error;
use walkdir::WalkDir;

/// The name of a file, or the name of a directory that could not be read and the reason.
pub type Found = Result<OsString, (OsString, Error)>;

/// Returns the regular files in a directory and in the directories below it, sorted by name.
///
/// `one_file_system` leaves out directories on other file systems.
pub fn files(directory: &OsStr, one_file_system: bool) -> impl Iterator<Item = Found> + Send {
    let entries = WalkDir::new(directory)
        .same_file_system(one_file_system)
        .sort_by_file_name();
    entries.into_iter().filter_map(|entry| match entry {
        Ok(entry) if entry.file_type().is_file() => Some(Ok(entry.into_path().into())),
        Ok(_) => None,
        Err(error) => {
            let name = error.path().map(OsString::from).unwrap_or_default();
            // The other errors are loops, which cannot occur because no symbolic link is followed.
            let error = error.into_io_error()?;
            Some(Err((name, Error::Read(error))))
        }
    })
}
