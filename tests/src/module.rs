// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Loading and unloading the module, and what the kernel shows of it.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::fs::File;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;

use nix::errno::Errno;
use nix::kmod;
use nix::kmod::DeleteModuleFlags;
use nix::kmod::ModuleInitFlags;

use crate::process;
use crate::sh;

/// The name of the module, of its hash and of its device.
pub const NAME: &str = "adler32";
/// The name of the hash's driver, which no other module uses.
pub const DRIVER: &str = "adler32-rust";

/// The implementations, the slowest first: the name, and the flags of `/proc/cpuinfo` that it
/// needs. `clearcpuid=` clears flags there, too.
#[cfg(target_arch = "aarch64")]
pub const IMPLEMENTATIONS: [(&str, &[&str]); 3] = [
    ("portable", &[]),
    ("neon", &["asimd"]),
    ("neon-dotprod", &["asimd", "asimddp"]),
];
#[cfg(not(target_arch = "aarch64"))]
pub const IMPLEMENTATIONS: [(&str, &[&str]); 3] = [
    ("portable", &[]),
    ("avx2", &["avx2"]),
    (
        "avx512-vnni",
        &["avx2", "avx512f", "avx512bw", "avx512vl", "avx512_vnni"],
    ),
];

/// Returns whether `/proc/cpuinfo` lists all of these flags.
pub fn processor_has(flags: &[&str]) -> bool {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").expect("/proc/cpuinfo");
    let all: Vec<_> = cpuinfo
        .lines()
        .filter(|line| line.starts_with("flags") || line.starts_with("Features"))
        .flat_map(str::split_whitespace)
        .collect();
    flags.iter().all(|flag| all.contains(flag))
}

/// Returns the name of the implementation that the module chooses by default.
pub fn fastest_implementation() -> &'static str {
    let mut runnable = IMPLEMENTATIONS
        .iter()
        .filter(|(_, flags)| processor_has(flags));
    runnable.next_back().expect("portable runs everywhere").0
}

/// Returns the name of the implementation that the module uses after modprobe: the fastest, unless
/// the kernel's command line chooses another.
pub fn default_implementation() -> String {
    let words = fs::read_to_string("/proc/cmdline").expect("/proc/cmdline");
    words
        .split_whitespace()
        .find_map(|word| word.strip_prefix("adler32.implementation="))
        .unwrap_or(fastest_implementation())
        .to_owned()
}

/// Loads the module with modprobe if it is not loaded.
pub fn ensure_loaded() {
    if !is_loaded() {
        sh("modprobe adler32");
        settle();
    }
}

/// Waits until the kernel has tested a newly registered hash. Until then `/proc/crypto` lists a
/// temporary entry, and the test holds the module.
fn settle() {
    process::eventually("the kernel has tested the hash", || {
        let entry = crypto_entry(DRIVER);
        let kind = entry.as_ref().and_then(|entry| entry.get("type"));
        kind.is_some_and(|kind| kind == "shash") && refcount() == Some(0)
    });
}

/// Unloads the module if it is loaded.
pub fn ensure_unloaded() {
    if is_loaded() {
        unload();
    }
}

/// Loads an installed module through the system call, which returns an exact error.
pub fn load(name: &str, parameters: &str) -> nix::Result<()> {
    let file = File::open(path(name)).expect("the module file opens");
    let parameters = CString::new(parameters).expect("no NUL in parameters");
    kmod::finit_module(&file, &parameters, ModuleInitFlags::empty())
}

/// Returns the path of an installed module.
fn path(name: &str) -> String {
    // modinfo runs once for each module: in a program with threads, a child process would keep the
    // files of the other threads open for a moment.
    static KNOWN: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let find = || sh(&format!("modinfo -n {name}")).trim().to_owned();
    known.entry(name.to_owned()).or_insert_with(find).clone()
}

/// Unloads the module through the system call, which fails while the module is in use.
pub fn try_unload() -> nix::Result<()> {
    remove(NAME)
}

fn remove(name: &str) -> nix::Result<()> {
    let name = CString::new(name).expect("no NUL in a module's name");
    kmod::delete_module(&name, DeleteModuleFlags::O_NONBLOCK)
}

/// Unloads the module, which must soon be unused.
#[track_caller]
pub fn unload() {
    remove_soon(NAME);
}

/// Unloads a module. Its last users may hold it for a moment longer: the kernel releases sockets
/// and mappings some time after they are closed, and a hash some time after it was tested.
#[track_caller]
fn remove_soon(name: &str) {
    process::eventually(&format!("{name} is unloaded"), || match remove(name) {
        Err(Errno::EWOULDBLOCK) => false,
        result => {
            assert_eq!(result, Ok(()), "unloading {name}");
            true
        }
    });
}

/// Returns whether the module is loaded.
pub fn is_loaded() -> bool {
    Path::new("/sys/module/adler32").exists()
}

/// Returns how many users the module has, or `None` if it is not loaded.
pub fn refcount() -> Option<usize> {
    let text = fs::read_to_string("/sys/module/adler32/refcnt").ok()?;
    Some(text.trim().parse().expect("a number"))
}

/// A module that stays loaded until this is dropped.
pub struct Loaded(&'static str);

impl Loaded {
    /// Loads a module.
    #[track_caller]
    pub fn new(name: &'static str, parameters: &str) -> Self {
        load(name, parameters).unwrap_or_else(|error| panic!("loading {name}: {error}"));
        if name == NAME {
            settle();
        }
        Self(name)
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = remove(self.0);
        } else {
            remove_soon(self.0);
        }
    }
}

/// Returns the fields of the entry of a driver in `/proc/crypto`.
pub fn crypto_entry(driver: &str) -> Option<BTreeMap<String, String>> {
    proc_crypto()
        .into_iter()
        .find(|entry| entry.get("driver").is_some_and(|found| found == driver))
}

/// Returns the entries of `/proc/crypto`.
pub fn proc_crypto() -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string("/proc/crypto").expect("/proc/crypto");
    text.split("\n\n")
        .map(|entry| {
            entry
                .lines()
                .filter_map(|line| line.split_once(':'))
                .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
                .collect()
        })
        .filter(|entry: &BTreeMap<_, _>| !entry.is_empty())
        .collect()
}

/// Returns the minor number of the device, from `/proc/misc`.
pub fn misc_minor() -> Option<u32> {
    let text = fs::read_to_string("/proc/misc").expect("/proc/misc");
    text.lines().find_map(|line| {
        let (minor, name) = line.trim().split_once(' ')?;
        (name == NAME).then(|| minor.parse().expect("a number"))
    })
}

/// Fails if anything of the module is left in the system.
#[track_caller]
pub fn assert_absent() {
    assert!(!is_loaded(), "the module is still loaded");
    assert_eq!(crypto_entry(DRIVER), None, "in /proc/crypto");
    assert_eq!(misc_minor(), None, "in /proc/misc");
    assert!(!Path::new("/sys/class/misc/adler32").exists(), "in sysfs");
    assert!(!Path::new("/dev/adler32").exists(), "in /dev");
}

/// The kernel log from some moment on.
pub struct Log(File);

impl Log {
    /// Skips the lines that have been logged so far.
    pub fn from_now() -> Self {
        let mut file = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")
            .expect("/dev/kmsg opens");
        file.seek(SeekFrom::End(0)).expect("seek to the end");
        Self(file)
    }

    /// Returns the lines logged since the last call.
    pub fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut record = [0; 8192];
        loop {
            let len = match self.0.read(&mut record) {
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return lines,
                // The kernel overwrote records before they were read. The next read skips them.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => continue,
                Err(error) => panic!("/dev/kmsg: {error}"),
            };
            let text = String::from_utf8_lossy(&record[..len]).into_owned();
            let message = text.split_once(';').map_or("", |(_, message)| message);
            lines.extend(message.lines().next().map(str::to_owned));
        }
    }

    /// Returns the lines about the module that were logged since the last call.
    pub fn of_module(&mut self) -> Vec<String> {
        let mut lines = self.lines();
        lines.retain(|line| line.contains("adler32"));
        lines
    }
}

/// Returns the values of a field of the module's modinfo.
pub fn modinfo(field: &str) -> Vec<String> {
    let output = sh(&format!("modinfo -F {field} {NAME}"));
    output.lines().map(str::to_owned).collect()
}
