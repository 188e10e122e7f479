// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Files without a name and with data in them.

use std::fs::File;
use std::io::Seek;
use std::io::Write;

/// Where files are in the page cache alone, and where they are on top of others.
pub const FOLDERS: [&str; 2] = ["/tmp", "/root"];

/// A file of `data` in `folder`, open at its start.
#[track_caller]
pub fn file_in(folder: &str, data: &[u8]) -> File {
    let mut file = tempfile::tempfile_in(folder).expect("a temporary file");
    file.write_all(data).expect("write");
    file.rewind().expect("lseek");
    file
}

/// A file of `data`, open at its start.
#[track_caller]
pub fn file_of(data: &[u8]) -> File {
    file_in(FOLDERS[0], data)
}
