// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Kernel modules, and what prevents them from being loaded.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::fs::File;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use super::system::kernel_release;
use super::system::read_line;

/// The name of this project's module.
pub const MODULE_NAME: &str = "adler32";

/// The oldest kernel for which this project's module can be built.
const OLDEST: [u32; 2] = [7, 2];

/// Directories in which `modprobe` looks for files that end in `.conf`. A file hides files of the
/// same name in later directories.
const CONFIG_DIRECTORIES: [&str; 5] = [
    "/etc/modprobe.d",
    "/run/modprobe.d",
    "/usr/local/lib/modprobe.d",
    "/usr/lib/modprobe.d",
    "/lib/modprobe.d",
];

const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

/// The end of a signed module.
const SIGNATURE: &[u8] = b"~Module signature appended~\n";

/// The name that DKMS uses for this version of the module, and its source.
const DKMS_MODULE: &str = concat!("adler32/", env!("CARGO_PKG_VERSION"));
const DKMS_SOURCE: &str = concat!("/usr/src/adler32-", env!("CARGO_PKG_VERSION"));

/// The certificates with whose keys DKMS signs modules: DKMS's own, and that of Ubuntu.
const DKMS_CERTIFICATES: [&str; 2] = ["/var/lib/dkms/mok.pub", "/var/lib/shim-signed/mok/MOK.der"];

/// The certificates that the kernel trusts besides its own: those of the machine's owner, which
/// shim passes on, and those of the firmware.
const TRUSTED_CERTIFICATES: [&str; 2] = [
    "/sys/firmware/efi/efivars/MokListRT-605dab50-e046-4300-abb6-3dd810dd8b23",
    "/sys/firmware/efi/efivars/db-d719b2cb-3d3a-4596-a3bc-dad00e67656f",
];

/// A kernel module.
#[derive(Debug)]
pub struct Module {
    /// Its name.
    pub name: &'static str,
    /// Whether the module is loaded, or why not.
    pub state: State,
}

/// Whether a module is loaded, or why not.
#[derive(Debug, PartialEq, Eq)]
pub enum State {
    /// Loaded, or part of the kernel.
    Loaded,
    /// Not loaded; `modprobe` can load it.
    NotLoaded,
    /// Not loaded; only `modprobe` with the name of the module can load it.
    Blacklisted(Ban),
    /// Installed, but `modprobe` or the kernel refuses to load it.
    Disabled(Ban),
    /// Installed, but without a signature, which the named setting requires.
    Unsigned(&'static str),
    /// Signed with the key of the certificate, which the kernel does not trust. The named setting
    /// requires a trusted key.
    NotEnrolled(&'static str, &'static str),
    /// Not installed for the running kernel.
    NotInstalled,
    /// The running kernel does not support it, for this reason.
    Unsupported(String),
}

/// A setting that forbids loading a module.
#[derive(Debug, PartialEq, Eq)]
pub enum Ban {
    /// A line of a configuration file of `modprobe`.
    Line {
        /// The file.
        file: PathBuf,
        /// The number of the line, from 1.
        number: usize,
    },
    /// A parameter on the kernel's command line.
    Parameter(&'static str),
    /// The sysctl `kernel.modules_disabled`. It cannot be cleared until the next boot.
    Sysctl,
}

impl Module {
    /// Finds the state of a module.
    pub fn find(name: &'static str) -> Self {
        let state = if Path::new("/sys/module").join(name).exists()
            || listed(name, "modules.builtin").is_some()
        {
            State::Loaded
        } else if let Some(file) = listed(name, "modules.dep") {
            barrier(name, &file).unwrap_or(State::NotLoaded)
        } else if let Some(reason) = unsupported(name) {
            State::Unsupported(reason)
        } else {
            State::NotInstalled
        };
        Self { name, state }
    }

    /// Returns whether the module is loaded.
    pub fn is_loaded(&self) -> bool {
        self.state == State::Loaded
    }

    /// Describes the state in a word or two.
    pub fn summary(&self) -> &'static str {
        match self.state {
            State::Loaded => "loaded",
            State::NotLoaded => "not loaded",
            State::Blacklisted(_) => "blacklisted",
            State::Disabled(_) => "disabled",
            State::Unsigned(_) => "not signed",
            State::NotEnrolled(..) => "not enrolled",
            State::NotInstalled => "not installed",
            State::Unsupported(_) => "not supported",
        }
    }

    /// Returns the reason for the state, or no text.
    pub fn detail(&self) -> String {
        match &self.state {
            State::Loaded | State::NotLoaded => String::new(),
            State::Blacklisted(ban) => format!("{ban}; only modprobe {} loads it", self.name),
            State::Disabled(ban) => ban.to_string(),
            State::Unsigned(who) => format!("{who} allows only signed modules"),
            State::NotEnrolled(who, _) => format!("{who} allows only enrolled keys"),
            State::NotInstalled => {
                let directory = directory();
                let why = match directory.exists() {
                    true => "does not contain it",
                    false => "does not exist; in a container, load it on the host",
                };
                format!("{} {why}", directory.display())
            }
            State::Unsupported(reason) => reason.clone(),
        }
    }

    /// Returns the steps that load the module.
    pub fn fix(&self) -> Vec<String> {
        let name = self.name;
        let load = format!("as root: modprobe {name}");
        match &self.state {
            State::Loaded => vec![],
            State::NotLoaded => vec![load],
            State::Blacklisted(ban) => vec![load, format!("for good, {}", ban.fix(name))],
            State::Disabled(ban) => vec![ban.fix(name), load],
            State::Unsigned(_) => [sign(&format!("$(modinfo -n {name})")), vec![load]].concat(),
            State::NotEnrolled(_, certificate) => vec![
                format!("as root: mokutil --import {certificate}"),
                "reboot, and choose Enroll MOK in the MOK manager".to_owned(),
                load,
            ],
            State::NotInstalled if name == MODULE_NAME && Path::new(DKMS_SOURCE).exists() => vec![
                format!("as root: rust-kernel-kit && dkms install {DKMS_MODULE} -k $(uname -r)"),
                load,
            ],
            State::NotInstalled if name == MODULE_NAME => {
                let file = format!("build/module/$(uname -r)/{name}.ko");
                let mut steps = vec!["in the source directory: make module".to_owned()];
                if signature_required_by().is_some() {
                    steps.extend(sign(&file));
                }
                steps.push(format!("as root: insmod {file}"));
                steps
            }
            State::NotInstalled | State::Unsupported(_) if name != MODULE_NAME => {
                vec![format!("boot a kernel with {}", option(name))]
            }
            State::NotInstalled | State::Unsupported(_) => {
                let [major, minor] = OLDEST;
                vec![format!(
                    "boot Linux {major}.{minor} or later with CONFIG_RUST=y"
                )]
            }
        }
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "module {} is {}", self.name, self.summary())?;
        match &*self.detail() {
            "" => Ok(()),
            detail => write!(f, ": {detail}"),
        }
    }
}

impl Ban {
    fn fix(&self, module: &str) -> String {
        match self {
            Self::Line { file, number } => {
                format!("as root: sed -i {number}d {}", file.display())
            }
            Self::Parameter(name) => format!("boot without {module} in {name}"),
            Self::Sysctl => "reboot, and load it before kernel.modules_disabled is set".to_owned(),
        }
    }
}

impl fmt::Display for Ban {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, number } => write!(f, "line {number} of {}", file.display()),
            Self::Parameter(name) => write!(f, "{name} on the kernel's command line"),
            Self::Sysctl => f.write_str("kernel.modules_disabled is 1"),
        }
    }
}

/// Returns the files that this user may not read although they determine whether a module can be
/// loaded.
pub fn unreadable() -> Vec<PathBuf> {
    let forbidden = |path: &PathBuf| {
        let opened = File::open(path);
        opened.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    let directories = CONFIG_DIRECTORIES.map(PathBuf::from);
    config_files()
        .into_iter()
        .chain(directories)
        .chain([directory().join("modules.dep"), LOCKDOWN.into()])
        .filter(forbidden)
        .collect()
}

/// Returns the directory of the running kernel's modules.
fn directory() -> PathBuf {
    Path::new("/lib/modules").join(kernel_release().unwrap_or_default())
}

/// Returns the file of a module, from a list in the directory.
fn listed(name: &str, list: &str) -> Option<PathBuf> {
    let directory = directory();
    let list = fs::read_to_string(directory.join(list)).ok()?;
    list_entry(&list, name).map(|file| directory.join(file))
}

/// Returns the entry of a module, compressed or not, in a list like `modules.dep`.
fn list_entry<'a>(list: &'a str, name: &str) -> Option<&'a Path> {
    list.lines()
        .filter_map(|line| line.split(':').next().map(Path::new))
        .find(|path| {
            let file = path.file_name().and_then(|file| file.to_str());
            file.is_some_and(|file| file.split('.').take(2).eq([name, "ko"]))
        })
}

/// Returns the state of an installed module that cannot simply be loaded.
fn barrier(name: &str, file: &Path) -> Option<State> {
    let cmdline = read_line("/proc/cmdline").unwrap_or_default();
    let parameter =
        |parameter| names(&cmdline, parameter, name).then_some(Ban::Parameter(parameter));
    let sealed = read_line("/proc/sys/kernel/modules_disabled").is_ok_and(|set| set == "1");
    sealed
        .then_some(Ban::Sysctl)
        .or_else(|| parameter("module_blacklist="))
        .or_else(|| config_line("install", name))
        .map(State::Disabled)
        .or_else(|| signature_required_by().and_then(|who| untrusted(who, file)))
        .or_else(|| {
            let ban = parameter("modprobe.blacklist=").or_else(|| config_line("blacklist", name));
            ban.map(State::Blacklisted)
        })
}

/// Returns whether a parameter on the kernel's command line lists a module.
fn names(cmdline: &str, parameter: &str, module: &str) -> bool {
    cmdline
        .split_whitespace()
        .filter_map(|word| word.strip_prefix(parameter))
        .flat_map(|list| list.split(','))
        .any(|name| name == module)
}

/// Finds the first line in the files of `modprobe` that begins with a command and a module.
fn config_line(command: &str, module: &str) -> Option<Ban> {
    config_files().into_iter().find_map(|file| {
        let number = line_number(&fs::read_to_string(&file).ok()?, command, module)?;
        Some(Ban::Line { file, number })
    })
}

fn line_number(text: &str, command: &str, module: &str) -> Option<usize> {
    let found = text.lines().position(|line| {
        let mut words = line.split_whitespace();
        // In names, modprobe treats '-' and '_' as the same.
        words.next() == Some(command)
            && words
                .next()
                .is_some_and(|name| name.replace('-', "_") == module)
            // The command of an install line may load the module itself.
            && !words.any(|word| word.ends_with("modprobe") || word.ends_with("insmod"))
    });
    found.map(|index| index + 1)
}

/// Returns the files of `modprobe` in the order in which it reads them.
fn config_files() -> Vec<PathBuf> {
    let mut files = BTreeMap::new();
    for entry in CONFIG_DIRECTORIES
        .iter()
        .flat_map(fs::read_dir)
        .flatten()
        .flatten()
    {
        if entry.path().extension() == Some("conf".as_ref()) {
            files.entry(entry.file_name()).or_insert(entry.path());
        }
    }
    files.into_values().collect()
}

/// Returns the name of the setting that requires signatures.
fn signature_required_by() -> Option<&'static str> {
    if read_line("/sys/module/module/parameters/sig_enforce").is_ok_and(|on| on == "Y") {
        Some("module.sig_enforce")
    } else if read_line(LOCKDOWN).is_ok_and(|levels| !levels.contains("[none]")) {
        Some("lockdown")
    } else {
        None
    }
}

/// Returns the state of a module that the setting `who` does not allow.
fn untrusted(who: &'static str, file: &Path) -> Option<State> {
    let signed = match file.extension() == Some("ko".as_ref()) {
        true => fs::read(file).map_or(true, |module| module.ends_with(SIGNATURE)),
        // modinfo decompresses the module.
        false => modinfo("sig_id", file).is_none_or(|id| !id.is_empty()),
    };
    if !signed {
        return Some(State::Unsigned(who));
    }
    let certificate = signer(file)?;
    (!is_trusted(&fs::read(certificate).ok()?)?).then_some(State::NotEnrolled(who, certificate))
}

/// Returns the certificate with whose key DKMS has signed a module.
fn signer(file: &Path) -> Option<&'static str> {
    // The serial number of the certificate, such as 0C:E2:C2. DKMS chooses a long random one.
    let serial = modinfo("sig_key", file)?
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16))
        .collect::<Result<Vec<_>, _>>()
        .ok()?;
    DKMS_CERTIFICATES.into_iter().find(|certificate| {
        fs::read(certificate).is_ok_and(|certificate| contains(&certificate, &serial))
    })
}

/// Returns whether the kernel trusts a certificate, or `None` if that cannot be found out.
fn is_trusted(certificate: &[u8]) -> Option<bool> {
    let lists: Vec<_> = TRUSTED_CERTIFICATES
        .iter()
        .filter_map(|list| fs::read(list).ok())
        .collect();
    (!lists.is_empty()).then(|| lists.iter().any(|list| contains(list, certificate)))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && bytes.windows(part.len()).any(|window| window == part)
}

/// Returns a field of a module's file, or `None` if modinfo does not work.
fn modinfo(field: &str, file: &Path) -> Option<String> {
    let output = Command::new("modinfo")
        // The search path of ordinary users may lack it.
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .args(["--field", field])
        .arg(file)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Returns the steps that sign the file of a module.
fn sign(file: &str) -> Vec<String> {
    vec![
        "choose a KEY with an enrolled CERT (mokutil --list-enrolled)".to_owned(),
        "as root: S=/lib/modules/$(uname -r)/build/scripts/sign-file".to_owned(),
        format!("as root: $S sha256 KEY CERT {file}"),
    ]
}

/// Returns the option in the kernel's configuration without which the kernel cannot have a module.
fn option(module: &str) -> &'static str {
    match module {
        MODULE_NAME => "CONFIG_RUST",
        _ => "CONFIG_CRYPTO_USER_API_HASH",
    }
}

/// Returns the reason why the running kernel cannot have a module, if it is known.
fn unsupported(module: &str) -> Option<String> {
    let release = kernel_release().ok()?;
    if module == MODULE_NAME && is_too_old(&release) {
        let [major, minor] = OLDEST;
        return Some(format!("kernel {release} is older than {major}.{minor}"));
    }
    let configurations = [
        PathBuf::from(format!("/boot/config-{release}")),
        directory().join("config"),
        directory().join("build/.config"),
    ];
    let configuration = configurations
        .iter()
        .find_map(|path| fs::read_to_string(path).ok())?;
    let option = option(module);
    let set = |value| {
        configuration
            .lines()
            .any(|line| line == format!("{option}={value}"))
    };
    (!set('y') && !set('m')).then(|| format!("kernel {release} is built without {option}"))
}

fn is_too_old(release: &str) -> bool {
    let mut numbers = release
        .split(|char: char| !char.is_ascii_digit())
        .map_while(|number| number.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => [major, minor] < OLDEST,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_dep() {
        let entry = |list| list_entry(list, "adler32").and_then(Path::to_str);
        assert_eq!(
            entry("kernel/a.ko:\nupdates/adler32.ko: kernel/b.ko\n"),
            Some("updates/adler32.ko")
        );
        assert_eq!(
            entry("updates/dkms/adler32.ko.xz:\n"),
            Some("updates/dkms/adler32.ko.xz")
        );
        assert_eq!(
            entry("updates/my-adler32.ko:\nkernel/c.ko: updates/adler32.ko\n"),
            None
        );
        assert_eq!(entry("updates/adler32.kold:\n"), None);
        assert_eq!(entry(""), None);
    }

    #[test]
    fn modprobe_lines() {
        let text = "# install af_alg no\n\ninstall  af-alg /bin/false\nblacklist af_algo\n";
        assert_eq!(line_number(text, "install", "af_alg"), Some(3));
        assert_eq!(line_number(text, "blacklist", "af_alg"), None);
        assert_eq!(line_number("install", "install", "af_alg"), None);
        let loads = "install af_alg /sbin/modprobe -i af_alg && logger loaded";
        assert_eq!(line_number(loads, "install", "af_alg"), None);
    }

    #[test]
    fn command_line() {
        let cmdline = "quiet module_blacklist=a,adler32 modprobe.blacklist=adler3";
        assert!(names(cmdline, "module_blacklist=", "adler32"));
        assert!(!names(cmdline, "modprobe.blacklist=", "adler32"));
    }

    #[test]
    fn releases() {
        for (release, too_old) in [
            ("6.18.44", true),
            ("7.1.9-amd64", true),
            ("7.2-rc1", false),
            ("7.10.1", false),
            ("10.0.0", false),
            ("unknown", false),
        ] {
            assert_eq!(is_too_old(release), too_old, "{release}");
        }
    }
}
