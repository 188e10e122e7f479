// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 sum --recursive`.

use std::ffi::OsStr;
use std::ffi::OsString;

use adler32::Error;
use walkdir::WalkDir;

/// The name of a file; or of a folder that could not be searched for files, and why.
pub type Found = Result<OsString, (OsString, Error)>;

/// Returns the regular files in a folder and the folders below it, in the order of their names.
pub fn files(folder: &OsStr) -> impl Iterator<Item = Found> + Send {
    let entries = WalkDir::new(folder).sort_by_file_name();
    entries.into_iter().filter_map(|entry| match entry {
        Ok(entry) if entry.file_type().is_file() => Some(Ok(entry.into_path().into())),
        Ok(_) => None,
        Err(error) => {
            let name = error.path().map(OsString::from).unwrap_or_default();
            // The other errors are loops, of which there are none where no link is followed.
            let error = error.into_io_error()?;
            Some(Err((name, Error::Read(error))))
        }
    })
}
