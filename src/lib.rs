// SPDX-License-Identifier: GPL-2.0

//! The Adler-32 checksum of RFC 1950 in the kernel.
//!
//! The module has two interfaces: the hash `adler32` of the crypto API, and the device
//! `/dev/adler32`.
//!
//! ```sh
//! modprobe adler32
//! cat FILE > /dev/adler32
//! cat /dev/adler32
//! ```

// User space compiles the two public modules, too, and uses items that the kernel module does not.
pub mod adler32;
mod chrdev;
mod kernel_ext;
mod platform;
mod shash;
pub mod uapi;

use core::borrow::Borrow;

use kernel::prelude::*;
use pin_init::pin_init_scope;

use crate::{
    chrdev::Adler32Device,
    shash::Adler32Shash, //
};

module! {
    type: Adler32Module,
    name: "adler32",
    authors: ["The adler32 authors"],
    description: "Adler-32 checksum (RFC 1950): crypto API hash and /dev/adler32",
    license: "GPL",
    alias: ["crypto-adler32", "crypto-adler32-rust"],
    params: {
        // `platform.rs` contains another parameter, which takes names instead of numbers.
        mode: u16 {
            default: 0o666,
            description: "Permissions of /dev/adler32, in octal with a leading 0 (default: 0666)",
        },
    },
}

/// The version of the module, which the build takes from `Cargo.toml`.
const VERSION: &str = env!("ADLER32_VERSION");

const MODINFO: &str = concat!("version=", env!("ADLER32_VERSION"), "\0");

/// The version for `modinfo`. `module!` has no key for it.
#[link_section = ".modinfo"]
#[used]
// The compiler evaluates this, so nothing can panic at run time.
static MODINFO_VERSION: [u8; MODINFO.len()] = *MODINFO.as_bytes().first_chunk().unwrap();

/// The registrations of the two interfaces.
///
/// Fields are dropped in the order of their declaration, which is the reverse of the order in which
/// `init()` registers them.
#[pin_data]
struct Adler32Module {
    #[pin]
    shash: kernel_ext::shash::Registration<Adler32Shash>,
    #[pin]
    device: kernel_ext::miscdevice::Registration<Adler32Device>,
}

impl kernel::InPlaceModule for Adler32Module {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init_scope(|| {
            platform::choose()?;
            let mode = node_mode()?;
            let slots = chrdev::shared()?;
            let registrations = try_pin_init!(Self {
                device <- kernel_ext::miscdevice::Registration::register(mode, slots),
                // The hash must be the last step that can fail, see `register()`.
                shash <- kernel_ext::shash::Registration::register(),
            });
            Ok(registrations.pin_chain(move |_| {
                pr_info!(
                    "version {VERSION}, implementation {}, device mode {mode:04o}\n",
                    platform::name()
                );
                Ok(())
            }))
        })
    }
}

/// Returns the parameter `mode`.
fn node_mode() -> Result<u16> {
    let mode: u16 = parameter(module_parameters::mode.value());
    // The kernel would replace a mode of 0 by its default.
    if mode == 0 || mode & !0o666 != 0 {
        pr_err!("mode=0{mode:o} is not a mode for a device: write it in octal, as in mode=0666\n");
        return Err(EINVAL);
    }
    Ok(mode)
}

/// Returns the value of a parameter. Before Linux 7.3, `value()` returns a reference to it.
fn parameter<T: Copy>(value: impl Borrow<T>) -> T {
    *value.borrow()
}
