// SPDX-License-Identifier: GPL-2.0

//! The implementation of the algorithm that this machine uses, chosen once when the module loads.

use crate::adler32;
use crate::adler32::select::select;
use crate::adler32::select::SelectError;
use crate::adler32::verify;
use crate::adler32::Adler32;
use crate::adler32::Features;
use crate::adler32::Implementation;
use crate::adler32::Machine;
use crate::adler32::Runnable;
use kernel::prelude::*;
use kernel::sync::SetOnce;

/// The kernel on this machine.
struct Kernel;

// SAFETY: There are always general registers.
unsafe impl Machine for Kernel {
    fn features() -> Features {
        Features::NONE
    }

    unsafe fn run(implementation: &Implementation, start: Adler32, data: &[u8]) -> Adler32 {
        // SAFETY: The caller promises that the features suffice.
        unsafe { (implementation.update)(start, data) }
    }
}

static CHOSEN: SetOnce<Runnable<Kernel>> = SetOnce::new();

/// Chooses an implementation: the fastest that works, or the one with the number `request`.
pub(crate) fn choose(request: u32) -> Result {
    let mut scratch = KVec::from_elem(0, verify::SCRATCH_LEN, GFP_KERNEL)?;
    let choice = select(
        adler32::IMPLEMENTATIONS,
        request,
        &mut scratch,
        |implementation, mismatch| {
            pr_err!(
                "implementation {} is wrong and not used: {:?}\n",
                implementation.name(),
                mismatch
            );
        },
    );
    match choice {
        Ok(implementation) => {
            CHOSEN.populate(implementation);
            Ok(())
        }
        Err(SelectError::Unknown) => {
            pr_err!(
                "implementation={} is not known: modinfo adler32 lists those that are\n",
                request
            );
            Err(EINVAL)
        }
        Err(SelectError::Unsupported(name)) => {
            pr_err!(
                "implementation {} needs what this machine lacks: load without implementation=\n",
                name
            );
            Err(EOPNOTSUPP)
        }
        Err(SelectError::Broken(mismatch)) => {
            pr_err!("the portable implementation is wrong: {:?}\n", mismatch);
            Err(ENODEV)
        }
    }
}

/// Returns the name of the implementation in use.
pub(crate) fn name() -> &'static str {
    CHOSEN
        .as_ref()
        .map_or(adler32::PORTABLE.name, Runnable::name)
}

/// Continues a checksum over `data`.
pub(crate) fn update(start: Adler32, data: &[u8]) -> Adler32 {
    match CHOSEN.as_ref() {
        Some(chosen) => chosen.update(start, data),
        None => adler32::portable(start, data),
    }
}
