// SPDX-License-Identifier: GPL-2.0

//! The registers: for each user the checksum that the last file left behind.

use super::session::Sum;
use kernel::new_mutex;
use kernel::pr_warn_once;
use kernel::prelude::*;
use kernel::rbtree::RBTree;
use kernel::rbtree::RBTreeNode;
use kernel::sync::Mutex;
use kernel::task::Kuid;

/// How many users can have a register. A register stays until the module is unloaded, because
/// nothing tells when its user is gone, and giving it to another user would let the one disturb
/// the other.
const MAX_REGISTERS: usize = 65536;

/// How many registers there can be for users of other than the initial user namespace to get one.
/// There, a single user can have tens of thousands of user IDs; they must leave some.
const MAX_REGISTERS_OF_NAMESPACES: usize = MAX_REGISTERS / 2;

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
    /// Returns [`ENOSPC`] if there are as many as there can be.
    pub(super) fn reserve(&self, owner: Kuid, in_initial_user_ns: bool) -> Result {
        if self.table.lock().sums.get(&key(owner)).is_some() {
            return Ok(());
        }
        // Not under the lock, for others must not wait for this user's memory.
        let node = RBTreeNode::new(key(owner), Sum::EMPTY, GFP_KERNEL_ACCOUNT)?;

        let max = if in_initial_user_ns {
            MAX_REGISTERS
        } else {
            MAX_REGISTERS_OF_NAMESPACES
        };
        let mut table = self.table.lock();
        if table.sums.get(&key(owner)).is_some() {
            return Ok(());
        }
        if table.len >= max {
            pr_warn_once!("no more registers until the module is loaded anew: {max} are taken\n");
            return Err(ENOSPC);
        }
        table.sums.insert(node);
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
