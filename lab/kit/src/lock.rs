// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Lock files.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc::O_NOFOLLOW;

/// Opens the lock file `path`, and makes it if needed. Follows no symbolic link, and changes
/// nothing in an existing file.
pub fn open(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .custom_flags(O_NOFOLLOW)
        .open(path)
}
