// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What this machine has of the module, as `/dev`, `/proc`, `/sys` and `/lib/modules` tell.
//!
//! Looking changes nothing: no module is loaded by it.
//!
//! ```
//! use adler32::host;
//! use adler32::host::Module;
//!
//! let module = Module::find(host::MODULE_NAME);
//! println!("{module}");
//! if let Some(steps) = module.remedy() {
//!     println!("{steps}");
//! }
//! ```

mod module;

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::text;
use crate::uapi;

pub use self::module::unreadable;
pub use self::module::Ban;
pub use self::module::Module;
pub use self::module::State;

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

/// The version of the loaded module.
pub fn module_version() -> io::Result<String> {
    read_line(Path::new("/sys/module").join(MODULE_NAME).join("version"))
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

/// The minor number of the device, whose major number is 10, if the kernel has it.
pub fn device_minor() -> Option<u32> {
    let text = fs::read_to_string("/proc/misc").ok()?;
    text.lines().find_map(|line| {
        let (minor, name) = line.trim().split_once(' ')?;
        (name == DEVICE_NAME).then(|| minor.parse().ok())?
    })
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

/// Whether AF_ALG is there: in the kernel, or loaded.
pub fn has_af_alg() -> bool {
    let protocols = fs::read_to_string("/proc/net/protocols").unwrap_or_default();
    protocols.lines().any(|line| line.starts_with("ALG "))
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
