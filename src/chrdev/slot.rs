// SPDX-License-Identifier: GPL-2.0

//! The slots: the checksum that the device keeps for each user between open files.

use kernel::{
    new_mutex,
    pr_warn_once,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    },
    sync::{
        Arc,
        Mutex, //
    },
    task::Kuid, //
};

use super::sum::Sum;

/// The largest number of slots. A slot stays until the module is unloaded, because the kernel does
/// not report when its user is gone, and because giving it to another user would let users disturb
/// each other.
const MAX_SLOTS: usize = 65536;

/// A user outside the initial user namespace gets a slot only if fewer slots than this exist. A
/// single user can have tens of thousands of user IDs in namespaces, and must leave slots for
/// others.
const MAX_SLOTS_OF_NAMESPACES: usize = MAX_SLOTS / 2;

/// The slots of all users who have opened the device for writing only.
#[pin_data]
pub(crate) struct Slots {
    #[pin]
    table: Mutex<Table>,
}

struct Table {
    /// The key is the kuid.
    sums: RBTree<u32, Sum>,
    len: usize,
}

impl Slots {
    pub(super) fn new() -> Result<Arc<Self>> {
        let slots = pin_init!(Self {
            table <- new_mutex!(Table { sums: RBTree::new(), len: 0 }),
        });
        Arc::pin_init(slots, GFP_KERNEL)
    }

    /// Returns the slot of `owner`, which is empty before its first use.
    pub(super) fn get(&self, owner: Kuid) -> Sum {
        let table = self.table.lock();
        table.sums.get(&key(owner)).copied().unwrap_or(Sum::EMPTY)
    }

    /// Makes a slot for `owner` if there is none, so that [`Self::set`] cannot fail.
    ///
    /// Returns [`ENOSPC`] if no more slots may be made.
    pub(super) fn reserve(&self, owner: Kuid, in_initial_user_ns: bool) -> Result {
        if self.table.lock().sums.get(&key(owner)).is_some() {
            return Ok(());
        }
        // Not under the lock: other users must not wait until this user's memory is allocated.
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
            pr_warn_once!("all {max} slots are taken until the module is reloaded\n");
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
    use kernel::bindings;

    use super::*;

    fn user(uid: usize) -> Kuid {
        Kuid::from_raw(bindings::kuid_t { val: uid as u32 })
    }

    #[test]
    fn namespaces_get_half_and_no_more() -> Result {
        let slots = Slots::new()?;
        for uid in 0..MAX_SLOTS_OF_NAMESPACES {
            assert_eq!(slots.reserve(user(uid), false), Ok(()));
        }
        let next = user(MAX_SLOTS_OF_NAMESPACES);
        assert_eq!(slots.reserve(next, false), Err(ENOSPC));
        assert_eq!(slots.reserve(next, true), Ok(()));
        // Users who have a slot need no other.
        for uid in 0..=MAX_SLOTS_OF_NAMESPACES {
            assert_eq!(slots.reserve(user(uid), false), Ok(()));
        }
        Ok(())
    }

    #[test]
    fn there_are_no_more_than_the_maximum() -> Result {
        let slots = Slots::new()?;
        for uid in 0..MAX_SLOTS {
            assert_eq!(slots.reserve(user(uid), true), Ok(()));
        }
        assert_eq!(slots.reserve(user(MAX_SLOTS), true), Err(ENOSPC));
        assert_eq!(slots.reserve(user(0), true), Ok(()));
        Ok(())
    }
}
