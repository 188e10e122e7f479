// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What can go wrong, told with its cause and its remedy.

use std::fmt;
use std::io;

use crate::host;
use crate::host::Module;
use crate::host::Node;
use crate::host::DEVICE_PATH;
use crate::host::MODULE_NAME;
use crate::DRIVER_NAME;

/// Why a checksum could not be had.
///
/// Displayed as what failed, why, and the command that mends it if there is one:
///
/// ```
/// use adler32::host::Module;
/// use adler32::Error;
///
/// assert_eq!(
///     Error::DeviceMissing(Module::NotLoaded).to_string(),
///     "/dev/adler32: no such device: module adler32 is not loaded; \
///      as root: modprobe adler32",
/// );
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// There is no device node, or nothing behind it.
    DeviceMissing(Module),
    /// The permissions of the device node do not admit this user.
    DeviceForbidden(Node),
    /// A container or a security policy forbids the device.
    DeviceBlocked,
    /// What has the name of the device is something else.
    NotOurDevice,
    /// This kernel or sandbox has no AF_ALG.
    AfAlgAbsent,
    /// A sandbox or a security policy refuses AF_ALG.
    AfAlgBlocked,
    /// `crypto.af_alg_restrict`, which has this level, keeps the algorithm from AF_ALG.
    AfAlgRestricted(u32),
    /// AF_ALG is open, but does not find the algorithm.
    AlgorithmMissing(Module),
    /// The data could not be read.
    Read(io::Error),
    /// Something else failed in the kernel.
    Kernel {
        /// The door: the device or AF_ALG.
        door: &'static str,
        /// The call that failed.
        call: &'static str,
        /// How it failed.
        source: io::Error,
    },
}

impl Error {
    /// Says what failed: the door, or nothing if it is the data.
    pub fn subject(&self) -> &'static str {
        match self {
            Self::DeviceMissing(_)
            | Self::DeviceForbidden(_)
            | Self::DeviceBlocked
            | Self::NotOurDevice => DEVICE_PATH,
            Self::AfAlgAbsent
            | Self::AfAlgBlocked
            | Self::AfAlgRestricted(_)
            | Self::AlgorithmMissing(_) => "AF_ALG",
            Self::Kernel { door, .. } => door,
            Self::Read(_) => "",
        }
    }

    /// Says why.
    pub fn cause(&self) -> String {
        match self {
            Self::DeviceMissing(Module::Loaded) => {
                format!("no such device: module {MODULE_NAME} is loaded, but its node is not here")
            }
            Self::DeviceMissing(module) => {
                format!("no such device: module {MODULE_NAME} is {module}")
            }
            Self::DeviceForbidden(Node {
                mode, owner, group, ..
            }) => {
                format!("permission denied: its mode is {mode:04o}, its owner {owner}:{group}")
            }
            Self::DeviceBlocked => {
                "not permitted: a container or a security policy forbids it".to_owned()
            }
            Self::NotOurDevice => format!("not the device of module {MODULE_NAME}"),
            Self::AfAlgAbsent => "absent from this kernel or sandbox".to_owned(),
            Self::AfAlgBlocked => {
                "blocked: a sandbox or a security policy refuses its sockets".to_owned()
            }
            Self::AfAlgRestricted(level) => {
                let effect = match level {
                    1 => "admits only listed algorithms, not this one",
                    _ => "closes it",
                };
                format!("restricted: level {level} of crypto.af_alg_restrict {effect}")
            }
            Self::AlgorithmMissing(Module::Loaded) => {
                format!("open, but {DRIVER_NAME} is not found: algif_hash is missing")
            }
            Self::AlgorithmMissing(module) => {
                format!("open, but {DRIVER_NAME} is not found: module {MODULE_NAME} is {module}")
            }
            Self::Read(source) => describe(source),
            Self::Kernel { call, source, .. } => format!("{call}: {}", describe(source)),
        }
    }

    /// Says how to mend it, if there is a way.
    pub fn remedy(&self) -> Option<String> {
        let remedy = match self {
            Self::DeviceMissing(Module::Loaded) => match host::device_number() {
                Ok(number) => format!("as root: mknod -m 0666 {DEVICE_PATH} c {number}"),
                Err(_) => format!("as root: modprobe -r {MODULE_NAME} && modprobe {MODULE_NAME}"),
            },
            Self::DeviceMissing(module) | Self::AlgorithmMissing(module) => match module {
                Module::Loaded => "as root: modprobe algif_hash".to_owned(),
                Module::NotLoaded => format!("as root: modprobe {MODULE_NAME}"),
                Module::NotInstalled => {
                    format!("build and install it for this kernel, then as root: modprobe {MODULE_NAME}")
                }
            },
            Self::DeviceForbidden(Node { mode, group, .. })
                if mode & 0o060 == 0o060 && group != "root" =>
            {
                let user = host::user().unwrap_or("USER".to_owned());
                format!("as root: usermod -aG {group} {user}, then log in again")
            }
            Self::DeviceForbidden(_) => format!("as root: chmod 0666 {DEVICE_PATH}"),
            Self::DeviceBlocked => format!("give the container the device {DEVICE_PATH}"),
            Self::NotOurDevice => format!(
                "as root: rm -r {DEVICE_PATH} && modprobe -r {MODULE_NAME} && modprobe {MODULE_NAME}"
            ),
            Self::AfAlgAbsent => "as root, outside of any sandbox: modprobe algif_hash".to_owned(),
            Self::AfAlgRestricted(_) => "as root: sysctl crypto.af_alg_restrict=0".to_owned(),
            Self::AfAlgBlocked | Self::Read(_) | Self::Kernel { .. } => return None,
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
