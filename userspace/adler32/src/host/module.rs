// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Kernel modules, and what keeps one from being loaded.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::fs::File;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use super::kernel_release;
use super::read_line;
use super::MODULE_NAME;

/// The oldest kernel that the module can be built for.
const OLDEST: [u32; 2] = [7, 2];

/// Where `modprobe` looks for files that end in `.conf`. One hides those of its name further down.
const CONFIG_FOLDERS: [&str; 5] = [
    "/etc/modprobe.d",
    "/run/modprobe.d",
    "/usr/local/lib/modprobe.d",
    "/usr/lib/modprobe.d",
    "/lib/modprobe.d",
];

const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

/// The end of a module that is signed.
const SIGNATURE: &[u8] = b"~Module signature appended~\n";

/// A kernel module, as this machine has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its name.
    pub name: &'static str,
    /// Whether it is loaded, or why not.
    pub state: State,
}

/// Whether a module is loaded, or why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Loaded, or part of the kernel.
    Loaded,
    /// Not loaded, but `modprobe` finds it.
    NotLoaded,
    /// The same, and nothing but `modprobe` with its name loads it.
    Blacklisted(Ban),
    /// Installed, but `modprobe` or the kernel refuses to load it.
    Disabled(Ban),
    /// Installed, but without the signature that this, named here, demands.
    Unsigned(&'static str),
    /// Not installed for the running kernel.
    NotInstalled,
    /// The running kernel cannot have it, for this reason.
    Unsupported(String),
}

/// What says that a module is not to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ban {
    /// A line of a file of `modprobe`.
    Line {
        /// The file.
        file: PathBuf,
        /// The number of the line, from 1.
        number: usize,
    },
    /// A parameter on the kernel's command line.
    Parameter(&'static str),
    /// The sysctl `kernel.modules_disabled`, which stays set until the next boot.
    Sysctl,
}

impl Module {
    /// Looks for a module.
    pub fn find(name: &'static str) -> Self {
        let state = if Path::new("/sys/module").join(name).exists()
            || listed(name, "modules.builtin").is_some()
        {
            State::Loaded
        } else if let Some(file) = listed(name, "modules.dep") {
            barrier(name, &file).unwrap_or(State::NotLoaded)
        } else if let (MODULE_NAME, Some(reason)) = (name, unsupported()) {
            State::Unsupported(reason)
        } else {
            State::NotInstalled
        };
        Self { name, state }
    }

    /// Whether it is loaded.
    pub fn is_loaded(&self) -> bool {
        self.state == State::Loaded
    }

    /// Says in a word or two what its state is.
    pub fn summary(&self) -> &'static str {
        match self.state {
            State::Loaded => "loaded",
            State::NotLoaded => "not loaded",
            State::Blacklisted(_) => "blacklisted",
            State::Disabled(_) => "disabled",
            State::Unsigned(_) => "not signed",
            State::NotInstalled => "not installed",
            State::Unsupported(_) => "not supported",
        }
    }

    /// Says why it is in its state, if there is more to say.
    pub fn detail(&self) -> String {
        match &self.state {
            State::Loaded | State::NotLoaded => String::new(),
            State::Blacklisted(ban) => format!("{ban}; only modprobe {} loads it", self.name),
            State::Disabled(ban) => ban.to_string(),
            State::Unsigned(who) => format!("{who} admits only signed modules"),
            State::NotInstalled => {
                let folder = folder();
                let why = if folder.exists() {
                    "does not have it"
                } else {
                    "is not here; in a container, ask its host"
                };
                format!("{} {why}", folder.display())
            }
            State::Unsupported(reason) => reason.clone(),
        }
    }

    /// Says how to have it loaded, in steps with `"; "` between them.
    pub fn remedy(&self) -> Option<String> {
        let name = self.name;
        let load = format!("as root: modprobe {name}");
        Some(match &self.state {
            State::Loaded => return None,
            State::NotLoaded => load,
            State::Blacklisted(ban) => format!("{load}; for good, {}", ban.remedy(name)),
            State::Disabled(ban) => format!("{}; {load}", ban.remedy(name)),
            State::Unsigned(_) => format!("{}; {load}", sign(&format!("$(modinfo -n {name})"))),
            State::NotInstalled if name == MODULE_NAME => {
                let file = format!("build/module/$(uname -r)/{name}.ko");
                let sign = who_demands_signatures().map(|_| sign(&file));
                let mut steps = vec!["in its sources: make module".to_owned()];
                steps.extend(sign);
                steps.push(format!("as root: insmod {file}"));
                steps.join("; ")
            }
            State::NotInstalled => "boot a kernel with CONFIG_CRYPTO_USER_API_HASH".to_owned(),
            State::Unsupported(_) => {
                let [major, minor] = OLDEST;
                format!("boot Linux {major}.{minor} or later that has CONFIG_RUST=y")
            }
        })
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
    fn remedy(&self, module: &str) -> String {
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

/// Returns the files that tell whether a module can be loaded, but not to this user.
pub fn unreadable() -> Vec<PathBuf> {
    let forbidden = |path: &PathBuf| {
        let opened = File::open(path);
        opened.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    let folders = CONFIG_FOLDERS.map(PathBuf::from);
    config_files()
        .into_iter()
        .chain(folders)
        .chain([folder().join("modules.dep"), LOCKDOWN.into()])
        .filter(forbidden)
        .collect()
}

/// The folder of the modules of the running kernel.
fn folder() -> PathBuf {
    Path::new("/lib/modules").join(kernel_release().unwrap_or_default())
}

/// Returns the file of a module that a list in the folder has.
fn listed(name: &str, list: &str) -> Option<PathBuf> {
    let folder = folder();
    let list = fs::read_to_string(folder.join(list)).ok()?;
    list_entry(&list, name).map(|file| folder.join(file))
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

/// Returns what keeps an installed module from being loaded.
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
        .or_else(|| unsigned(file).map(State::Unsigned))
        .or_else(|| {
            let ban = parameter("modprobe.blacklist=").or_else(|| config_line("blacklist", name));
            ban.map(State::Blacklisted)
        })
}

/// Whether a parameter on the kernel's command line, a list, names a module.
fn names(cmdline: &str, parameter: &str, module: &str) -> bool {
    cmdline
        .split_whitespace()
        .filter_map(|word| word.strip_prefix(parameter))
        .flat_map(|list| list.split(','))
        .any(|name| name == module)
}

/// Returns the first line in the files of `modprobe` that begins with a command and a module.
fn config_line(command: &str, module: &str) -> Option<Ban> {
    config_files().into_iter().find_map(|file| {
        let number = line_number(&fs::read_to_string(&file).ok()?, command, module)?;
        Some(Ban::Line { file, number })
    })
}

fn line_number(text: &str, command: &str, module: &str) -> Option<usize> {
    let found = text.lines().position(|line| {
        let mut words = line.split_whitespace();
        // In names, modprobe takes the two for the same.
        words.next() == Some(command)
            && words
                .next()
                .is_some_and(|name| name.replace('-', "_") == module)
            // A command that is to be run instead of loading may load the module itself.
            && !words.any(|word| word.ends_with("modprobe") || word.ends_with("insmod"))
    });
    found.map(|index| index + 1)
}

/// Returns the files of `modprobe` in the order in which it reads them.
fn config_files() -> Vec<PathBuf> {
    let mut files = BTreeMap::new();
    for entry in CONFIG_FOLDERS
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

fn who_demands_signatures() -> Option<&'static str> {
    if read_line("/sys/module/module/parameters/sig_enforce").is_ok_and(|on| on == "Y") {
        Some("module.sig_enforce")
    } else if read_line(LOCKDOWN).is_ok_and(|levels| !levels.contains("[none]")) {
        Some("lockdown")
    } else {
        None
    }
}

/// Returns who demands a signature that a module has not. What is compressed is taken to have one.
fn unsigned(file: &Path) -> Option<&'static str> {
    let plain = file.extension() == Some("ko".as_ref());
    let signed = || fs::read(file).map_or(true, |module| module.ends_with(SIGNATURE));
    who_demands_signatures().filter(|_| plain && !signed())
}

/// Returns the steps that sign the file of a module.
fn sign(file: &str) -> String {
    format!(
        "take a KEY whose CERT is enrolled (mokutil --list-enrolled); \
         as root: S=/lib/modules/$(uname -r)/build/scripts/sign-file; \
         as root: $S sha256 KEY CERT {file}"
    )
}

/// Says why the running kernel cannot have the module of this project, as far as can be seen.
fn unsupported() -> Option<String> {
    let release = kernel_release().ok()?;
    if is_too_old(&release) {
        let [major, minor] = OLDEST;
        return Some(format!("kernel {release} is older than {major}.{minor}"));
    }
    let configurations = [
        PathBuf::from(format!("/boot/config-{release}")),
        folder().join("config"),
        folder().join("build/.config"),
    ];
    let configuration = configurations
        .iter()
        .find_map(|path| fs::read_to_string(path).ok())?;
    let rust = configuration.lines().any(|line| line == "CONFIG_RUST=y");
    (!rust).then(|| format!("kernel {release} is built without CONFIG_RUST"))
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
