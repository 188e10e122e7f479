// SPDX-License-Identifier: GPL-2.0

//! The slots: for each user the checksum that the last file left behind.

use super::session::Sum;
use kernel::new_mutex;
use kernel::pr_warn_once;
use kernel::prelude::*;
use kernel::rbtree::RBTree;
use kernel::rbtree::RBTreeNode;
use kernel::sync::Mutex;
use kernel::task::Kuid;

/// How many users can have a slot. A slot stays until the module is unloaded, because
/// nothing tells when its user is gone, and giving it to another user would let the one disturb
/// the other.
const MAX_SLOTS: usize = 65536;

/// How many slots there can be for users of other than the initial user namespace to get one.
/// There, a single user can have tens of thousands of user IDs; they must leave some.
const MAX_SLOTS_OF_NAMESPACES: usize = MAX_SLOTS / 2;

/// A slot for each user who has opened the device for writing only.
#[pin_data]
pub(crate) struct Slots {
    #[pin]
    table: Mutex<Table>,
}

struct Table {
    /// By kuid.
    sums: RBTree<u32, Sum>,
    len: usize,
}

impl Slots {
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            table <- new_mutex!(Table { sums: RBTree::new(), len: 0 }),
        })
    }

    /// Returns the slot of `owner`, which is empty before its first use.
    pub(super) fn get(&self, owner: Kuid) -> Sum {
        let table = self.table.lock();
        table.sums.get(&key(owner)).copied().unwrap_or(Sum::EMPTY)
    }

    /// Makes sure that `owner` has a slot, so that [`Self::set`] cannot fail.
    ///
    /// Returns [`ENOSPC`] if there are as many as there can be.
    pub(super) fn reserve(&self, owner: Kuid, in_initial_user_ns: bool) -> Result {
        if self.table.lock().sums.get(&key(owner)).is_some() {
            return Ok(());
        }
        // Not under the lock, for others must not wait for this user's memory.
        let node = RBTreeNode::new(key(owner), Sum::EMPTY, GFP_KERNEL_ACCOUNT)?;

        let max = if in_initial_user_ns {
            MAX_SLOTS
        } else {
            MAX_SLOTS_OF_NAMESPACES
        };
        let mut table = self.table.lock();
        if table.sums.get(&key(owner)).is_some() {
            return Ok(());
        }
        if table.len >= max {
            pr_warn_once!("no more slots until the module is loaded anew: {max} are taken\n");
            return Err(ENOSPC);
        }
        table.sums.insert(node);
        table.len += 1;
        Ok(())
    }

    /// Sets the slot of `owner`, who must have one.
    pub(super) fn set(&self, owner: Kuid, sum: Sum) {
        if let Some(slot) = self.table.lock().sums.get_mut(&key(owner)) {
            *slot = sum;
        }
    }
}

fn key(owner: Kuid) -> u32 {
    owner.into_raw().val
}

#[kunit_tests(adler32_slots)]
mod tests {
    use super::*;
    use crate::chrdev::shared;
    use kernel::bindings;

    fn user(uid: usize) -> Kuid {
        Kuid::from_raw(bindings::kuid_t { val: uid as u32 })
    }

    #[test]
    fn namespaces_get_half_and_no_more() -> Result {
        let slots = shared()?;
        for uid in 0..MAX_SLOTS_OF_NAMESPACES {
            assert_eq!(slots.reserve(user(uid), false), Ok(()));
        }
        let next = user(MAX_SLOTS_OF_NAMESPACES);
        assert_eq!(slots.reserve(next, false), Err(ENOSPC));
        assert_eq!(slots.reserve(next, true), Ok(()));
        // Whoever has one needs no other.
        for uid in 0..=MAX_SLOTS_OF_NAMESPACES {
            assert_eq!(slots.reserve(user(uid), false), Ok(()));
        }
        Ok(())
    }

    #[test]
    fn there_are_no_more_than_the_maximum() -> Result {
        let slots = shared()?;
        for uid in 0..MAX_SLOTS {
            assert_eq!(slots.reserve(user(uid), true), Ok(()));
        }
        assert_eq!(slots.reserve(user(MAX_SLOTS), true), Err(ENOSPC));
        assert_eq!(slots.reserve(user(0), true), Ok(()));
        Ok(())
    }
}
