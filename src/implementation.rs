// SPDX-License-Identifier: GPL-2.0

//! The implementation of the algorithm that this machine uses, chosen once when the module loads.

use crate::adler32;
use crate::adler32::select::select;
use crate::adler32::select::SelectError;
use crate::adler32::verify;
use crate::adler32::Adler32;
use crate::adler32::Implementation;
use kernel::prelude::*;
use kernel::sync::SetOnce;

static CHOSEN: SetOnce<Implementation> = SetOnce::new();

/// Chooses an implementation: the fastest that works, or the one with the number `request`.
pub(crate) fn choose(request: u32) -> Result {
    let mut scratch = KVec::from_elem(0, verify::SCRATCH_LEN, GFP_KERNEL)?;
    let choice = select(
        &adler32::IMPLEMENTATIONS,
        request,
        &mut scratch,
        |implementation, mismatch| {
            pr_err!(
                "implementation {} is wrong and not used: {:?}\n",
                implementation.name,
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
        Err(SelectError::Broken(mismatch)) => {
            pr_err!("the portable implementation is wrong: {:?}\n", mismatch);
            Err(ENODEV)
        }
    }
}

/// Returns the implementation in use.
fn chosen() -> &'static Implementation {
    CHOSEN.as_ref().unwrap_or(&adler32::PORTABLE)
}

/// Returns the name of the implementation in use.
pub(crate) fn name() -> &'static str {
    chosen().name
}

/// Continues a checksum over `data`.
pub(crate) fn update(start: Adler32, data: &[u8]) -> Adler32 {
    (chosen().update)(start, data)
}
