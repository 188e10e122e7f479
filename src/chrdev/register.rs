// SPDX-License-Identifier: GPL-2.0

//! The registers: for each user the checksum that the last file left behind.

use super::session::Sum;
use kernel::new_mutex;
use kernel::pr_warn_once;
use kernel::prelude::*;
use kernel::rbtree::RBTree;
use kernel::sync::Mutex;
use kernel::task::Kuid;

/// How many users can have a register. A register stays until the module is unloaded, because
/// nothing tells when its user is gone, and giving it to another user would let the one disturb
/// the other.
const MAX_REGISTERS: usize = 65536;

/// A register for each user who has opened the device for writing only.
#[pin_data]
pub(crate) struct Registers {
    #[pin]
    table: Mutex<Table>,
}

struct Table {
    /// By kuid.
    sums: RBTree<u32, Sum>,
    len: usize,
}

impl Registers {
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            table <- new_mutex!(Table { sums: RBTree::new(), len: 0 }),
        })
    }

    /// Returns the register of `owner`, which is empty before its first use.
    pub(super) fn get(&self, owner: Kuid) -> Sum {
        let table = self.table.lock();
        table.sums.get(&key(owner)).copied().unwrap_or(Sum::EMPTY)
    }

    /// Makes sure that `owner` has a register, so that [`Self::set`] cannot fail.
    ///
    /// Returns [`ENOSPC`] if there are [`MAX_REGISTERS`] already.
    pub(super) fn reserve(&self, owner: Kuid) -> Result {
        let mut table = self.table.lock();
        if table.sums.get(&key(owner)).is_some() {
            return Ok(());
        }
        if table.len >= MAX_REGISTERS {
            pr_warn_once!("all {MAX_REGISTERS} registers are taken until the module is reloaded\n");
            return Err(ENOSPC);
        }
        table
            .sums
            .try_create_and_insert(key(owner), Sum::EMPTY, GFP_KERNEL_ACCOUNT)?;
        table.len += 1;
        Ok(())
    }

    /// Sets the register of `owner`, who must have one.
    pub(super) fn set(&self, owner: Kuid, sum: Sum) {
        if let Some(register) = self.table.lock().sums.get_mut(&key(owner)) {
            *register = sum;
        }
    }
}

fn key(owner: Kuid) -> u32 {
    owner.into_raw().val
}
