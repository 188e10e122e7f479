// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the tests of the two caches share.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::path::PathBuf;

/// Writes a file and its parent directories, which others cannot change whatever the umask is.
pub fn write(file: &Path, text: &str) {
    let mut dir = fs::DirBuilder::new();
    dir.recursive(true).mode(0o755);
    dir.create(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

/// Returns everything in `dir`: files with their contents, symbolic links with their targets.
pub fn tree(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut tree = BTreeMap::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        let kind = path.symlink_metadata().unwrap().file_type();
        let text = if kind.is_symlink() {
            fs::read_link(&path).unwrap().display().to_string()
        } else if kind.is_dir() {
            tree.append(&mut self::tree(&path));
            String::new()
        } else {
            fs::read_to_string(&path).unwrap()
        };
        tree.insert(path, text);
    }
    tree
}
