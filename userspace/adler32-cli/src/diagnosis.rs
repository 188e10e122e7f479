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
use adler32::Interface;
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

/// The state of an interface when a call failed for a reason that is not recognized.
const FAILED: &str = "failed";

/// Why an interface is unavailable.
#[derive(Debug)]
pub struct Diagnosis {
    interface: Interface,
    /// The reason in a word or two.
    pub state: &'static str,
    /// The reason in detail.
    pub detail: String,
    /// The steps that fix it.
    pub fix: Vec<String>,
}

impl Diagnosis {
    /// Looks for the reason why a backend could not be opened.
    pub fn of(error: Error) -> Self {
        match error {
            Error::Kernel {
                interface,
                call,
                source,
            } => match (interface, call) {
                (Interface::Device, "open") => device(source),
                (Interface::AfAlg, "socket" | "bind") => af_alg(call, source),
                _ => failed(interface, call, &source),
            },
            // Opening a backend reads no data, so no other error is possible.
            _ => wrong_device(),
        }
    }

    fn device(state: &'static str, detail: impl Into<String>, fix: Vec<String>) -> Self {
        Self {
            interface: Interface::Device,
            state,
            detail: detail.into(),
            fix,
        }
    }

    fn af_alg(state: &'static str, detail: impl Into<String>, fix: Vec<String>) -> Self {
        Self {
            interface: Interface::AfAlg,
            ..Self::device(state, detail, fix)
        }
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.interface)?;
        if self.state != FAILED {
            write!(f, "{}: ", self.state)?;
        }
        f.write_str(&self.detail)?;
        self.fix.iter().try_for_each(|step| write!(f, "; {step}"))
    }
}

/// Checks whether AF_ALG provides the algorithm now. The kernel loads no module for this.
pub fn probe_af_alg() -> Result<(), Diagnosis> {
    if is_filtered() {
        return Err(filtered());
    }
    if !system::has_af_alg() {
        return Err(idle_or_absent(missing_module()));
    }
    if let Some(level @ 1..) = system::af_alg_restrict() {
        return Err(restricted(level));
    }
    let module = Module::find(MODULE_NAME);
    if !module.is_loaded() {
        return Err(no_such_hash(module));
    }
    let hashes = Module::find(HASHES);
    match hashes.state {
        // A module that is part of the kernel need not be in any list.
        State::Loaded | State::NotInstalled => AfAlg::open().map(drop).map_err(Diagnosis::of),
        _ => Err(idle_or_absent(hashes)),
    }
}

fn failed(interface: Interface, call: &str, source: &io::Error) -> Diagnosis {
    Diagnosis {
        interface,
        state: FAILED,
        detail: format!("{call}: {}", describe(source)),
        fix: Vec::new(),
    }
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
        (Errno::EPERM | Errno::EACCES, _) => Diagnosis::device(
            "not permitted",
            "a container, a mount or a security policy forbids it",
            vec![container_option()],
        ),
        _ => failed(Interface::Device, "open", &source),
    }
}

fn no_such_device(module: Module) -> Diagnosis {
    const STATE: &str = "no such device";
    if !module.is_loaded() {
        return Diagnosis::device(STATE, module.to_string(), module.fix());
    }
    let fix = match make_node() {
        Some(make_node) => vec![make_node, container_option()],
        None => vec![as_root(&format!(
            "modprobe -r {MODULE_NAME} && modprobe {MODULE_NAME}"
        ))],
    };
    let detail = format!("{module}, but its node does not exist");
    Diagnosis::device(STATE, detail, fix)
}

fn wrong_device() -> Diagnosis {
    let mut fix = vec![as_root(&format!("rm -r {DEVICE_PATH}"))];
    fix.extend(make_node());
    let detail = format!("not the device of module {MODULE_NAME}");
    Diagnosis::device("wrong device", detail, fix)
}

fn permission_denied(node: Node) -> Diagnosis {
    let Node {
        mode, owner, group, ..
    } = node;
    let fix = if mode & 0o060 == 0o060 && group != "root" {
        let user = system::user().unwrap_or("USER".to_owned());
        let join = as_root(&format!("usermod -aG {group} {user}"));
        vec![join, "log in again".to_owned()]
    } else {
        let change = as_root(&format!("chmod 0666 {DEVICE_PATH}"));
        let keep = "for good: a udev rule, or mode=0666 for the module";
        vec![change, keep.to_owned()]
    };
    let detail = format!("its mode is {mode:04o}, its owner {owner}:{group}");
    Diagnosis::device("permission denied", detail, fix)
}

/// Explains why AF_ALG could not be opened.
fn af_alg(call: &str, source: io::Error) -> Diagnosis {
    if is_filtered() {
        return filtered();
    }
    let module = Module::find(MODULE_NAME);
    match (call, errno(&source), system::af_alg_restrict()) {
        // Under this restriction, the kernel answers as if it had no AF_ALG.
        ("socket", Errno::EAFNOSUPPORT, Some(level @ 2..)) => restricted(level),
        ("socket", Errno::EAFNOSUPPORT, _) => absent(missing_module()),
        // Under this restriction, the kernel answers as if the algorithm did not exist.
        ("bind", Errno::ENOENT, Some(level @ 1..)) => restricted(level),
        ("bind", Errno::ENOENT, _) if module.is_loaded() => absent(Module::find(HASHES)),
        ("bind", Errno::ENOENT, _) => no_such_hash(module),
        (_, Errno::EPERM | Errno::EACCES, _) => {
            Diagnosis::af_alg("blocked", "a security policy refuses it", Vec::new())
        }
        _ => failed(Interface::AfAlg, call, &source),
    }
}

fn filtered() -> Diagnosis {
    Diagnosis::af_alg(
        "blocked by seccomp",
        "a filter of the container or service",
        vec![
            "in a container: allow AF_ALG in its profile (seccomp=FILE)".to_owned(),
            "in a service: add AF_ALG to RestrictAddressFamilies=".to_owned(),
        ],
    )
}

fn restricted(level: u32) -> Diagnosis {
    let effect = match level {
        1 => "allows only listed hashes, not this one",
        _ => "disables it",
    };
    Diagnosis::af_alg(
        "restricted",
        format!("level {level} of crypto.af_alg_restrict {effect}"),
        vec![as_root("sysctl crypto.af_alg_restrict=0")],
    )
}

fn no_such_hash(module: Module) -> Diagnosis {
    Diagnosis::af_alg("no such hash", module.to_string(), module.fix())
}

fn absent(module: Module) -> Diagnosis {
    Diagnosis::af_alg("absent", module.to_string(), module.fix())
}

/// Explains that a module of AF_ALG is not loaded, when no program has used it yet.
fn idle_or_absent(module: Module) -> Diagnosis {
    match module.state {
        State::NotLoaded => Diagnosis::af_alg(
            "not loaded",
            format!("the first use loads module {}", module.name),
            module.fix(),
        ),
        _ => absent(module),
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

/// Returns whether a seccomp filter refuses AF_ALG sockets. The kernel itself answers EINVAL for a
/// type that does not exist. It checks the type before it looks for the family, so it loads no
/// module.
fn is_filtered() -> bool {
    const NO_TYPE: c_int = 15;
    // SAFETY: The call takes no pointers.
    let made = unsafe { libc::socket(libc::AF_ALG, NO_TYPE, 0) };
    Errno::result(made) != Err(Errno::EINVAL)
}

fn make_node() -> Option<String> {
    let minor = system::device_minor()?;
    Some(as_root(&format!(
        "mknod -m 0666 {DEVICE_PATH} c 10 {minor}"
    )))
}

fn container_option() -> String {
    format!("in a container: start it with --device {DEVICE_PATH}")
}

fn as_root(command: &str) -> String {
    format!("as root: {command}")
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
}
