// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Files with known content, and the names in a directory.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Seek;
use std::io::Write;

/// A directory in memory alone, and one in an overlay on other file systems.
pub const DIRECTORIES: [&str; 2] = ["/tmp", "/root"];

/// Makes a file without a name that contains `data`, open at position 0.
#[track_caller]
pub fn file_in(directory: &str, data: &[u8]) -> File {
    let mut file = tempfile::tempfile_in(directory).expect("a temporary file");
    file.write_all(data).expect("write");
    file.rewind().expect("lseek");
    file
}

/// Makes such a file in memory.
#[track_caller]
pub fn file_of(data: &[u8]) -> File {
    file_in(DIRECTORIES[0], data)
}

/// Returns the names in a directory, sorted.
pub fn names_in(directory: &str) -> io::Result<Vec<String>> {
    let mut names = fs::read_dir(directory)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}
