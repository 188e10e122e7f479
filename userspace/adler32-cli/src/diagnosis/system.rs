// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Facts about the running system, from `/dev`, `/proc`, `/sys` and `/etc`. Reading them loads no
//! module.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use adler32::uapi;
use adler32::DEVICE_PATH;

/// Returns the release of the running kernel, such as `7.2.12-amd64`.
pub fn kernel_release() -> io::Result<String> {
    read_line("/proc/sys/kernel/osrelease")
}

/// The file at [`DEVICE_PATH`].
pub struct Node {
    /// Whether it is a character device.
    pub is_device: bool,
    /// Permission bits.
    pub mode: u32,
    /// Name of the owner, or the number of an owner without a name.
    pub owner: String,
    /// Name of the group, or the number of a group without a name.
    pub group: String,
}

impl Node {
    /// Reads the attributes of the file.
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

/// Returns the minor number of the device, if the device is registered. The major number is 10.
pub fn device_minor() -> Option<u32> {
    let text = fs::read_to_string("/proc/misc").ok()?;
    text.lines().find_map(|line| {
        let (minor, name) = line.trim().split_once(' ')?;
        (name.as_bytes() == uapi::DEVICE_NAME.to_bytes()).then(|| minor.parse().ok())?
    })
}

/// Returns the name of the user who runs this program.
pub fn user() -> io::Result<String> {
    Ok(name_of(fs::metadata("/proc/self")?.uid(), "/etc/passwd"))
}

/// An entry of `/proc/crypto`.
#[derive(Debug, PartialEq, Eq)]
pub struct CryptoEntry {
    /// Name of the driver.
    pub driver: String,
    /// Name of the module that contains the driver.
    pub module: String,
    /// The entry of the highest priority is used.
    pub priority: i32,
}

/// Reads the entries of `/proc/crypto` for the algorithm, which other modules may provide as well.
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
        if field("name").map(str::as_bytes) == Some(uapi::ALG_NAME.to_bytes()) {
            entries.push(CryptoEntry {
                driver: field("driver").unwrap_or_default().to_owned(),
                module: field("module").unwrap_or_default().to_owned(),
                priority: field("priority").and_then(|p| p.parse().ok()).unwrap_or(0),
            });
        }
    }
    entries
}

/// Returns whether AF_ALG is loaded or part of the kernel.
pub fn has_af_alg() -> bool {
    let protocols = fs::read_to_string("/proc/net/protocols").unwrap_or_default();
    protocols.lines().any(|line| line.starts_with("ALG "))
}

/// Returns the level of the sysctl `crypto.af_alg_restrict`: 0 allows all algorithms, 1 only listed
/// ones, and 2 none. Returns `None` if the kernel has no such sysctl or has not loaded AF_ALG.
pub fn af_alg_restrict() -> Option<u32> {
    read_line("/proc/sys/crypto/af_alg_restrict")
        .ok()?
        .parse()
        .ok()
}

/// Returns the profile of AppArmor that confines this process.
pub fn apparmor_profile() -> Option<String> {
    let current = read_line("/proc/self/attr/apparmor/current").ok()?;
    Some(current.strip_suffix(" (enforce)")?.to_owned())
}

/// Returns the SELinux context of this process, if SELinux enforces its policy.
pub fn selinux_context() -> Option<String> {
    let enforce = read_line("/sys/fs/selinux/enforce").ok()?;
    let context = read_line("/proc/self/attr/current").ok()?;
    (enforce == "1").then(|| context.trim_end_matches('\0').to_owned())
}

/// Returns whether this process runs in a container of podman, docker, or systemd.
pub fn is_container() -> bool {
    let marks = [
        "/run/.containerenv",
        "/.dockerenv",
        "/run/systemd/container",
    ];
    marks.iter().any(|mark| Path::new(mark).exists())
}

/// Returns the name of the systemd service to which this process belongs.
pub fn service() -> Option<String> {
    let groups = read_line("/proc/self/cgroup").ok()?;
    let unit = groups.lines().last()?.rsplit('/').next()?;
    unit.ends_with(".service").then(|| unit.to_owned())
}

/// Returns the text of a file without the white space at its end.
pub fn read_line(path: impl AsRef<Path>) -> io::Result<String> {
    Ok(fs::read_to_string(path)?.trim_end().to_owned())
}

/// Looks up a number in `/etc/passwd` or `/etc/group`.
///
/// The C library would need plug-ins, which a static program cannot load.
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
