// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Why a backend is unavailable, and how to fix it.

mod module;
pub mod system;

use std::fmt;
use std::io;
use std::os::raw::c_int;

use adler32::describe;
use adler32::AfAlg;
use adler32::Error;
use adler32::AF_ALG;
use adler32::DEVICE_PATH;
use nix::errno::Errno;
use nix::libc;

pub use self::module::unreadable;
pub use self::module::Module;
pub use self::module::State;
pub use self::module::MODULE_NAME;
use self::system::Node;

/// The module that adds hashes to AF_ALG.
const HASHES: &str = "algif_hash";

/// The state after a failure whose reason is not recognized.
const FAILED: &str = "failed";

/// The state of something, such as an interface of the module, and how to fix it.
#[derive(Debug)]
pub struct Diagnosis {
    /// The name of the thing.
    pub subject: &'static str,
    /// The state in a word or two.
    pub state: &'static str,
    /// The state in detail.
    pub detail: String,
    /// The steps that fix it.
    pub fix: Vec<String>,
}

impl Diagnosis {
    /// Creates a diagnosis without steps.
    pub fn new(subject: &'static str, state: &'static str, detail: impl Into<String>) -> Self {
        Self {
            subject,
            state,
            detail: detail.into(),
            fix: Vec::new(),
        }
    }

    /// Adds steps.
    pub fn with(self, fix: Vec<String>) -> Self {
        Self { fix, ..self }
    }

    /// Finds out why a backend could not be opened.
    pub fn of(error: Error) -> Self {
        match error {
            Error::Kernel {
                interface,
                call,
                source,
            } => match (interface, call) {
                (DEVICE_PATH, "open") => device(source),
                (AF_ALG, "socket" | "bind") => af_alg(call, source),
                _ => failed(interface, call, &source),
            },
            // Opening a backend reads no data, so no other error is possible.
            _ => wrong_device(),
        }
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.subject)?;
        if self.state != FAILED {
            write!(f, "{}: ", self.state)?;
        }
        f.write_str(&self.detail)?;
        self.fix.iter().try_for_each(|step| write!(f, "; {step}"))
    }
}

/// Checks whether AF_ALG provides the algorithm now. The kernel loads no module for this.
pub fn probe_af_alg() -> Result<(), Diagnosis> {
    if let Some(errno) = filter_errno() {
        return Err(filtered(errno));
    }
    if !system::has_af_alg() {
        return Err(idle_or_absent(missing_module()));
    }
    if let Some(level @ 1..) = system::af_alg_restrict() {
        return Err(restricted(level));
    }
    let module = Module::find(MODULE_NAME);
    if !module.is_loaded() {
        return Err(not_loaded(AF_ALG, "no such hash", module));
    }
    let hashes = Module::find(HASHES);
    match hashes.state {
        // A module that is part of the kernel need not be in any list.
        State::Loaded | State::NotInstalled => AfAlg::open().map(drop).map_err(Diagnosis::of),
        _ => Err(idle_or_absent(hashes)),
    }
}

fn failed(interface: &'static str, call: &str, source: &io::Error) -> Diagnosis {
    Diagnosis::new(interface, FAILED, format!("{call}: {}", describe(source)))
}

/// Explains why the device could not be opened.
fn device(source: io::Error) -> Diagnosis {
    let module = Module::find(MODULE_NAME);
    match (errno(&source), Node::find()) {
        (Errno::ENXIO | Errno::ENODEV, _) if module.is_loaded() => wrong_device(),
        (Errno::ENOENT | Errno::ENXIO | Errno::ENODEV, _) => no_such_device(module),
        (_, Ok(node)) if !node.is_device => wrong_device(),
        (Errno::EACCES, Ok(node)) if node.mode & 0o666 != 0o666 => permission_denied(node),
        // On a file system that is mounted with nodev, no user can open a device.
        (Errno::EPERM | Errno::EACCES, _) => {
            let detail = "a container, a mount or a security policy forbids it";
            Diagnosis::new(DEVICE_PATH, "not permitted", detail).with(vec![container_option()])
        }
        _ => failed(DEVICE_PATH, "open", &source),
    }
}

fn no_such_device(module: Module) -> Diagnosis {
    const STATE: &str = "no such device";
    if !module.is_loaded() {
        return not_loaded(DEVICE_PATH, STATE, module);
    }
    let fix = match make_node() {
        Some(make_node) => vec![make_node, container_option()],
        None => vec![format!(
            "as root: modprobe -r {MODULE_NAME} && modprobe {MODULE_NAME}"
        )],
    };
    let detail = format!("{module}, but its node does not exist");
    Diagnosis::new(DEVICE_PATH, STATE, detail).with(fix)
}

fn wrong_device() -> Diagnosis {
    let mut fix = vec![format!("as root: rm -r {DEVICE_PATH}")];
    fix.extend(make_node());
    let detail = format!("not the device of module {MODULE_NAME}");
    Diagnosis::new(DEVICE_PATH, "wrong device", detail).with(fix)
}

fn permission_denied(node: Node) -> Diagnosis {
    let Node {
        mode, owner, group, ..
    } = node;
    let fix = if mode & 0o060 == 0o060 && group != "root" {
        let user = system::user().unwrap_or("USER".to_owned());
        let join = format!("as root: usermod -aG {group} {user}");
        vec![join, "log in again".to_owned()]
    } else {
        let change = format!("as root: chmod 0666 {DEVICE_PATH}");
        let keep = "for good: a udev rule, or mode=0666 for the module";
        vec![change, keep.to_owned()]
    };
    let detail = format!("its mode is {mode:04o}, its owner {owner}:{group}");
    Diagnosis::new(DEVICE_PATH, "permission denied", detail).with(fix)
}

/// Explains why AF_ALG could not be opened.
fn af_alg(call: &str, source: io::Error) -> Diagnosis {
    if let Some(errno) = filter_errno() {
        return filtered(errno);
    }
    let module = Module::find(MODULE_NAME);
    match (call, errno(&source), system::af_alg_restrict()) {
        // Under these restrictions, the kernel answers as if AF_ALG or the algorithm did not exist.
        ("socket", Errno::EAFNOSUPPORT, Some(level @ 2..)) => restricted(level),
        ("bind", Errno::ENOENT, Some(level @ 1..)) => restricted(level),
        ("socket", Errno::EAFNOSUPPORT, _) => not_loaded(AF_ALG, "absent", missing_module()),
        ("bind", Errno::ENOENT, _) if module.is_loaded() => {
            not_loaded(AF_ALG, "absent", Module::find(HASHES))
        }
        ("bind", Errno::ENOENT, _) => not_loaded(AF_ALG, "no such hash", module),
        (_, Errno::EPERM | Errno::EACCES, _) => blocked(),
        _ => failed(AF_ALG, call, &source),
    }
}

/// Explains that a Linux security module refuses AF_ALG.
fn blocked() -> Diagnosis {
    let (detail, fix) = if let Some(profile) = system::apparmor_profile() {
        let rule = format!("in AppArmor's profile {profile}: add the rule network alg,");
        (format!("by AppArmor's profile {profile}"), vec![rule])
    } else if let Some(context) = system::selinux_context() {
        let audit = "as root: ausearch -m AVC -c adler32 | audit2allow".to_owned();
        (format!("by SELinux, in the context {context}"), vec![audit])
    } else {
        ("by a security policy".to_owned(), vec![])
    };
    Diagnosis::new(AF_ALG, "blocked", detail).with(fix)
}

/// Explains that a seccomp filter refuses AF_ALG with this error.
fn filtered(errno: Errno) -> Diagnosis {
    let container = "allow AF_ALG in its profile (seccomp=FILE)";
    let service = match errno {
        // systemd refuses address families with this error.
        Errno::EAFNOSUPPORT => "add AF_ALG to RestrictAddressFamilies=",
        _ => "allow AF_ALG in SystemCallFilter=",
    };
    let (detail, fix) = match (system::is_container(), system::service()) {
        (true, _) => (
            "by the filter of the container".to_owned(),
            vec![format!("in the container: {container}")],
        ),
        (false, Some(unit)) => (
            format!("by the filter of {unit}"),
            vec![format!("in {unit}: {service}")],
        ),
        (false, None) => (
            "by a filter of the container or service".to_owned(),
            vec![
                format!("in a container: {container}"),
                format!("in a service: {service}"),
            ],
        ),
    };
    Diagnosis::new(AF_ALG, "blocked by seccomp", detail).with(fix)
}

fn restricted(level: u32) -> Diagnosis {
    let effect = match level {
        1 => "allows only listed hashes, not this one",
        _ => "disables it",
    };
    let detail = format!("level {level} of crypto.af_alg_restrict {effect}");
    let fix = vec!["as root: sysctl crypto.af_alg_restrict=0".to_owned()];
    Diagnosis::new(AF_ALG, "restricted", detail).with(fix)
}

/// Explains that something is unavailable because a module is not loaded.
fn not_loaded(subject: &'static str, state: &'static str, module: Module) -> Diagnosis {
    Diagnosis::new(subject, state, module.to_string()).with(module.fix())
}

/// Explains that a module of AF_ALG is not loaded, when no program has used it yet.
fn idle_or_absent(module: Module) -> Diagnosis {
    match module.state {
        State::NotLoaded => {
            let detail = format!("the first use loads module {}", module.name);
            Diagnosis::new(AF_ALG, "not loaded", detail).with(module.fix())
        }
        _ => not_loaded(AF_ALG, "absent", module),
    }
}

/// Returns the module that AF_ALG lacks. Loading [`HASHES`] also loads `af_alg`.
fn missing_module() -> Module {
    let family = Module::find("af_alg");
    match family.state {
        State::Loaded | State::NotLoaded => Module::find(HASHES),
        _ => family,
    }
}

/// Returns the error with which a seccomp filter refuses AF_ALG sockets. The kernel itself answers
/// EINVAL for a type that does not exist. It checks the type before it looks for the family, so it
/// loads no module, and before it asks the security modules.
fn filter_errno() -> Option<Errno> {
    const NO_TYPE: c_int = 15;
    // SAFETY: The call takes no pointers.
    let made = unsafe { libc::socket(libc::AF_ALG, NO_TYPE, 0) };
    Errno::result(made)
        .err()
        .filter(|errno| *errno != Errno::EINVAL)
}

fn make_node() -> Option<String> {
    let minor = system::device_minor()?;
    Some(format!("as root: mknod -m 0666 {DEVICE_PATH} c 10 {minor}"))
}

fn container_option() -> String {
    format!("in a container: start it with --device {DEVICE_PATH}")
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
}
