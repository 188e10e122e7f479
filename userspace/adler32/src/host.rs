// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What this machine has of the module, as `/dev`, `/proc`, `/sys` and `/lib/modules` tell.
//!
//! Looking changes nothing: no module is loaded by it.
//!
//! ```
//! use adler32::host;
//! use adler32::host::Module;
//!
//! println!("module {}: {}", host::MODULE_NAME, Module::find());
//! ```

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::text;
use crate::uapi;

/// Name of the kernel module.
pub const MODULE_NAME: &str = "adler32";

/// Name of the algorithm in the kernel's crypto API, which other modules may serve as well.
pub const ALGORITHM_NAME: &str = text(uapi::ALG_NAME);

const DEVICE_NAME: &str = text(uapi::DEVICE_NAME);

/// Path of the device node.
pub const DEVICE_PATH: &str = "/dev/adler32";

/// The release of the running kernel, such as `7.2.12-amd64`.
pub fn kernel_release() -> io::Result<String> {
    read_line("/proc/sys/kernel/osrelease")
}

/// The module, as the running kernel sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Module {
    /// Loaded.
    Loaded,
    /// Not loaded, but `modprobe` finds it.
    NotLoaded,
    /// Not installed for the running kernel.
    NotInstalled,
}

impl Module {
    /// Looks for the module.
    pub fn find() -> Self {
        if Path::new("/sys/module").join(MODULE_NAME).exists() {
            return Self::Loaded;
        }
        let list = kernel_release()
            .map(|release| Path::new("/lib/modules").join(release).join("modules.dep"))
            .and_then(fs::read_to_string);
        match list {
            Ok(list) if lists_module(&list) => Self::NotLoaded,
            _ => Self::NotInstalled,
        }
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, kernel_release()) {
            (Self::Loaded, _) => f.write_str("loaded"),
            (Self::NotLoaded, _) => f.write_str("not loaded"),
            (Self::NotInstalled, Ok(release)) => write!(f, "not installed for kernel {release}"),
            (Self::NotInstalled, Err(_)) => f.write_str("not installed for this kernel"),
        }
    }
}

/// The version of the loaded module.
pub fn module_version() -> io::Result<String> {
    read_line(Path::new("/sys/module").join(MODULE_NAME).join("version"))
}

/// Whether a `modules.dep` has the module, compressed or not.
fn lists_module(modules_dep: &str) -> bool {
    modules_dep
        .lines()
        .filter_map(|line| Path::new(line.split(':').next()?).file_name()?.to_str())
        .any(|file| file.split('.').take(2).eq([MODULE_NAME, "ko"]))
}

/// What is at [`DEVICE_PATH`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Whether it is a character device at all.
    pub is_device: bool,
    /// Permission bits.
    pub mode: u32,
    /// Name of the owner, or the number if it has none.
    pub owner: String,
    /// Name of the group, or the number if it has none.
    pub group: String,
}

impl Node {
    /// Looks at the device node.
    pub fn find() -> io::Result<Self> {
        let metadata = fs::metadata(DEVICE_PATH)?;
        Ok(Self {
            is_device: metadata.file_type().is_char_device(),
            mode: metadata.mode() & 0o7777,
            owner: name_of(metadata.uid(), "/etc/passwd"),
            group: name_of(metadata.gid(), "/etc/group"),
        })
    }
}

/// The major and minor number of the device, as `mknod` takes them.
pub fn device_number() -> io::Result<String> {
    let number = read_line(Path::new("/sys/class/misc").join(DEVICE_NAME).join("dev"))?;
    Ok(number.replace(':', " "))
}

/// Name of the user who runs this program.
pub fn user() -> io::Result<String> {
    Ok(name_of(fs::metadata("/proc/self")?.uid(), "/etc/passwd"))
}

/// An entry of `/proc/crypto`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CryptoEntry {
    /// Name of the driver.
    pub driver: String,
    /// The module that has it.
    pub module: String,
    /// Among entries of one name, the highest wins.
    pub priority: i32,
}

/// Reads the entries of `/proc/crypto` that serve [`ALGORITHM_NAME`], ours and others.
pub fn crypto_entries() -> io::Result<Vec<CryptoEntry>> {
    Ok(parse_crypto(&fs::read_to_string("/proc/crypto")?))
}

fn parse_crypto(text: &str) -> Vec<CryptoEntry> {
    let mut entries = Vec::new();
    for stanza in text.split("\n\n") {
        let field = |name| {
            stanza.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                (key.trim() == name).then(|| value.trim())
            })
        };
        if field("name") == Some(ALGORITHM_NAME) {
            entries.push(CryptoEntry {
                driver: field("driver").unwrap_or_default().to_owned(),
                module: field("module").unwrap_or_default().to_owned(),
                priority: field("priority").and_then(|p| p.parse().ok()).unwrap_or(0),
            });
        }
    }
    entries
}

/// The level of the sysctl `crypto.af_alg_restrict`: 0 open, 1 open to listed algorithms, 2 closed.
/// `None` where the kernel has none, or has not loaded AF_ALG yet.
pub fn af_alg_restrict() -> Option<u32> {
    read_line("/proc/sys/crypto/af_alg_restrict")
        .ok()?
        .parse()
        .ok()
}

fn read_line(path: impl AsRef<Path>) -> io::Result<String> {
    Ok(fs::read_to_string(path)?.trim_end().to_owned())
}

/// Looks up a number in `/etc/passwd` or `/etc/group`.
///
/// Not by the C library, which needs plug-ins at run time that a static program cannot load.
fn name_of(id: u32, database: &str) -> String {
    let id = id.to_string();
    fs::read_to_string(database)
        .unwrap_or_default()
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&id.as_str()))
        .map_or(id.clone(), |fields| fields[0].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_of_the_abi() {
        assert_eq!(DEVICE_PATH, format!("/dev/{}", DEVICE_NAME));
    }

    #[test]
    fn modules_dep() {
        assert!(lists_module(
            "kernel/a.ko:\nupdates/adler32.ko: kernel/b.ko\n"
        ));
        assert!(lists_module("updates/dkms/adler32.ko.xz:\n"));
        assert!(!lists_module(
            "updates/my-adler32.ko:\nkernel/c.ko: updates/adler32.ko\n"
        ));
        assert!(!lists_module("updates/adler32.kold:\n"));
        assert!(!lists_module(""));
    }

    #[test]
    fn proc_crypto() {
        let text = "\
name         : crc32c
driver       : crc32c-lib
module       : kernel
priority     : 100

name         : adler32
driver       : adler32-zlib
module       : adler32_zlib
priority     : 100
refcnt       : 1

name         : hmac(adler32)
driver       : hmac(adler32-rust)
module       : hmac
priority     : 90

name         : adler32
driver       : adler32-rust
module       : adler32
priority     : 90

";
        let entry = |driver: &str, module: &str, priority| CryptoEntry {
            driver: driver.into(),
            module: module.into(),
            priority,
        };
        assert_eq!(
            parse_crypto(text),
            [
                entry("adler32-zlib", "adler32_zlib", 100),
                entry("adler32-rust", "adler32", 90),
            ]
        );
        assert_eq!(parse_crypto(""), []);
    }

    #[test]
    fn names() {
        assert_eq!(name_of(0, "/etc/passwd"), "root");
        assert_eq!(name_of(u32::MAX - 1, "/etc/passwd"), "4294967294");
        assert_eq!(name_of(0, "/nonexistent"), "0");
    }
}
