// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What can go wrong, told with its cause and its remedy.

use std::fmt;
use std::io;

use crate::host;
use crate::host::Module;
use crate::host::Node;
use crate::host::DEVICE_PATH;
use crate::host::MODULE_NAME;

/// Why a checksum could not be had.
///
/// Displayed as what failed, why, and the command that mends it if there is one:
///
/// ```
/// use adler32::host::Module;
/// use adler32::host::State;
/// use adler32::Error;
///
/// let module = Module {
///     name: "adler32",
///     state: State::NotLoaded,
/// };
/// assert_eq!(
///     Error::DeviceMissing(module).to_string(),
///     "/dev/adler32: no such device: module adler32 is not loaded; \
///      as root: modprobe adler32",
/// );
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// There is no device node, or nothing behind it. With it comes the module that makes it.
    DeviceMissing(Module),
    /// The permissions of the device node do not admit this user.
    DeviceForbidden(Node),
    /// A container or a security policy forbids the device.
    DeviceBlocked,
    /// What has the name of the device is something else.
    NotOurDevice,
    /// AF_ALG, or what makes it take hashes, has not been used yet. The first use loads this module.
    AfAlgIdle(Module),
    /// AF_ALG, or what makes it take hashes, is not there for want of this module.
    AfAlgAbsent(Module),
    /// A seccomp filter refuses AF_ALG.
    AfAlgFiltered,
    /// A security policy refuses AF_ALG.
    AfAlgBlocked,
    /// `crypto.af_alg_restrict`, which has this level, keeps the algorithm from AF_ALG.
    AfAlgRestricted(u32),
    /// AF_ALG is open, but does not find the algorithm, which this module has.
    AlgorithmMissing(Module),
    /// The data could not be read.
    Read(io::Error),
    /// Something else failed in the kernel.
    Kernel {
        /// The backend: the device or AF_ALG.
        backend: &'static str,
        /// The call that failed.
        call: &'static str,
        /// How it failed.
        source: io::Error,
    },
}

impl Error {
    /// Says what failed: the backend, or nothing if it is the data.
    pub fn subject(&self) -> &'static str {
        match self {
            Self::DeviceMissing(_)
            | Self::DeviceForbidden(_)
            | Self::DeviceBlocked
            | Self::NotOurDevice => DEVICE_PATH,
            Self::AfAlgIdle(_)
            | Self::AfAlgAbsent(_)
            | Self::AfAlgFiltered
            | Self::AfAlgBlocked
            | Self::AfAlgRestricted(_)
            | Self::AlgorithmMissing(_) => "AF_ALG",
            Self::Kernel { backend, .. } => backend,
            Self::Read(_) => "",
        }
    }

    /// Says why in a word or two.
    pub fn summary(&self) -> &'static str {
        match self {
            Self::DeviceMissing(_) => "no such device",
            Self::DeviceForbidden(_) => "permission denied",
            Self::DeviceBlocked => "not permitted",
            Self::NotOurDevice => "wrong device",
            Self::AfAlgIdle(_) => "not loaded",
            Self::AfAlgAbsent(_) => "absent",
            Self::AfAlgFiltered => "blocked by seccomp",
            Self::AfAlgBlocked => "blocked",
            Self::AfAlgRestricted(_) => "restricted",
            Self::AlgorithmMissing(_) => "no such hash",
            Self::Read(_) | Self::Kernel { .. } => "failed",
        }
    }

    /// Says why in detail.
    pub fn detail(&self) -> String {
        match self {
            Self::DeviceMissing(module) if module.is_loaded() => {
                format!("{module}, but its node is not here")
            }
            Self::DeviceMissing(module)
            | Self::AfAlgAbsent(module)
            | Self::AlgorithmMissing(module) => module.to_string(),
            Self::AfAlgIdle(module) => format!("the first use loads module {}", module.name),
            Self::DeviceForbidden(Node {
                mode, owner, group, ..
            }) => format!("its mode is {mode:04o}, its owner {owner}:{group}"),
            Self::DeviceBlocked => {
                "a container, a mount or a security policy forbids it".to_owned()
            }
            Self::NotOurDevice => format!("not that of module {MODULE_NAME}"),
            Self::AfAlgFiltered => "a filter of the container or service".to_owned(),
            Self::AfAlgBlocked => "a security policy refuses it".to_owned(),
            Self::AfAlgRestricted(level) => {
                let effect = match level {
                    1 => "admits only listed hashes, not this one",
                    _ => "closes it",
                };
                format!("level {level} of crypto.af_alg_restrict {effect}")
            }
            Self::Read(source) => describe(source),
            Self::Kernel { call, source, .. } => format!("{call}: {}", describe(source)),
        }
    }

    /// Says why.
    pub fn cause(&self) -> String {
        match self {
            Self::Read(_) | Self::Kernel { .. } => self.detail(),
            _ => format!("{}: {}", self.summary(), self.detail()),
        }
    }

    /// Says how to mend it, if there is a way, in steps with `"; "` between them.
    pub fn remedy(&self) -> Option<String> {
        let make_node =
            host::device_minor().map(|minor| format!("mknod -m 0666 {DEVICE_PATH} c 10 {minor}"));
        let remedy = match (self, make_node) {
            (Self::DeviceMissing(module), Some(make_node)) if module.is_loaded() => format!(
                "as root: {make_node}; in a container: start it with --device {DEVICE_PATH}"
            ),
            (Self::DeviceMissing(module), _) if module.is_loaded() => {
                format!("as root: modprobe -r {MODULE_NAME} && modprobe {MODULE_NAME}")
            }
            (
                Self::DeviceMissing(module)
                | Self::AfAlgIdle(module)
                | Self::AfAlgAbsent(module)
                | Self::AlgorithmMissing(module),
                _,
            ) => return module.remedy(),
            (Self::DeviceForbidden(Node { mode, group, .. }), _)
                if mode & 0o060 == 0o060 && group != "root" =>
            {
                let user = host::user().unwrap_or("USER".to_owned());
                format!("as root: usermod -aG {group} {user}; log in again")
            }
            (Self::DeviceForbidden(_), _) => format!(
                "as root: chmod 0666 {DEVICE_PATH}; \
                 for good: a udev rule, or mode=0666 for the module"
            ),
            (Self::DeviceBlocked, _) => {
                format!("in a container: start it with --device {DEVICE_PATH}")
            }
            (Self::NotOurDevice, Some(make_node)) => {
                format!("as root: rm -r {DEVICE_PATH}; as root: {make_node}")
            }
            (Self::NotOurDevice, None) => format!("as root: rm -r {DEVICE_PATH}"),
            (Self::AfAlgFiltered, _) => {
                "in a container: admit AF_ALG in its profile (seccomp=FILE); \
                 in a service: add AF_ALG to RestrictAddressFamilies="
                    .to_owned()
            }
            (Self::AfAlgRestricted(_), _) => "as root: sysctl crypto.af_alg_restrict=0".to_owned(),
            (Self::AfAlgBlocked | Self::Read(_) | Self::Kernel { .. }, _) => return None,
        };
        Some(remedy)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.subject().is_empty() {
            write!(f, "{}: ", self.subject())?;
        }
        f.write_str(&self.cause())?;
        match self.remedy() {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(source) | Self::Kernel { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// The text of an error as other commands print it, without the " (os error N)" of Rust.
pub fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(code) => text.replace(&format!(" (os error {code})"), ""),
        None => text,
    }
}
