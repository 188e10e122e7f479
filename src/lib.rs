// SPDX-License-Identifier: GPL-2.0

//! Adler-32 (RFC 1950) in the kernel, through two doors: the hash `adler32` of the crypto API and
//! the device `/dev/adler32`.
//!
//! ```sh
//! modprobe adler32
//! cat FILE > /dev/adler32
//! cat /dev/adler32
//! ```

// Public are the modules that user space compiles as well.
pub mod adler32;
mod chrdev;
mod platform;
mod kernel_ext;
mod shash;
pub mod uapi;

use crate::chrdev::Adler32Device;
use crate::kernel_ext::miscdevice;
use crate::shash::Adler32Shash;
use core::borrow::Borrow;
use kernel::prelude::*;

module! {
    type: Adler32Module,
    name: "adler32",
    authors: ["The adler32 authors"],
    description: "Adler-32 checksum (RFC 1950): crypto API hash and /dev/adler32",
    license: "GPL",
    alias: ["crypto-adler32", "crypto-adler32-rust"],
    params: {
        implementation: u32 {
            default: 0,
            description: "How to compute: 0 the fastest that works (default), 1 portable, 2 avx2, 3 avx512-vnni",
        },
        mode: u16 {
            default: 0o666,
            description: "Permissions of /dev/adler32, in octal with a leading 0 (default: 0666)",
        },
    },
}

/// The module's version, from the build.
const VERSION: &str = env!("ADLER32_VERSION");

/// The version for modinfo, for which `module!` has no key. All of it is evaluated at build time.
#[link_section = ".modinfo"]
#[used]
static MODINFO_VERSION: [u8; MODINFO.len()] = *MODINFO;
const MODINFO: &[u8; concat!("version=", env!("ADLER32_VERSION"), "\0").len()] =
    concat!("version=", env!("ADLER32_VERSION"), "\0")
        .as_bytes()
        .first_chunk()
        .unwrap();

/// What is registered. Dropped, as a structure is, from the first field to the last, the reverse
/// of the order in which `init()` makes them.
#[pin_data]
struct Adler32Module {
    #[pin]
    shash: kernel_ext::shash::Registration<Adler32Shash>,
    #[pin]
    device: miscdevice::Registration<Adler32Device>,
}

impl kernel::InPlaceModule for Adler32Module {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _: {
                platform::choose(parameter(module_parameters::implementation.value()))?;
            },
            device <- miscdevice::Registration::register(node_mode()?, chrdev::shared()?),
            // Last, as it must be.
            shash <- kernel_ext::shash::Registration::register(),
            _: {
                pr_info!(
                    "version {}, implementation {}, device mode {:04o}\n",
                    VERSION,
                    platform::name(),
                    node_mode()?
                );
            },
        })
    }
}

/// Returns the parameter `mode`.
fn node_mode() -> Result<u16> {
    let mode: u16 = parameter(module_parameters::mode.value());
    // The kernel takes 0 for the lack of a mode.
    if mode == 0 || mode & !0o666 != 0 {
        pr_err!("mode=0{mode:o} is not a mode for a device: write it in octal, as in mode=0666\n");
        return Err(EINVAL);
    }
    Ok(mode)
}

/// Takes the value of a parameter, which is behind a reference before Linux 7.3.
fn parameter<T: Copy>(value: impl Borrow<T>) -> T {
    *value.borrow()
}
