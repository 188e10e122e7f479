// SPDX-License-Identifier: GPL-2.0

//! The slots: the checksum that the device keeps for each user between open files.

use kernel::{
    alloc::Flags,
    cred::Credential,
    new_spinlock,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    },
    sync::{
        Arc,
        SpinLock, //
    },
};

use super::sum::Sum;
use crate::kernel_ext::cred::in_initial_user_ns;

/// The largest number of slots. When it is reached, a new slot replaces the one that has not been
/// used for the longest time.
const MAX_SLOTS: usize = 65536;

/// A user who can have a slot.
#[derive(Clone, Copy)]
pub(super) struct User {
    kuid: u32,
    group: Group,
}

/// The groups of users. A single user can have tens of thousands of user IDs in user namespaces.
/// [`Group::Others`] has at most half of the slots, and its users then replace only each other's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    /// The users of the initial user namespace.
    Initial,
    /// The users of all other user namespaces.
    Others,
}

impl User {
    /// Returns the effective user of `cred`.
    pub(super) fn new(cred: &Credential) -> Self {
        let group = if in_initial_user_ns(cred) {
            Group::Initial
        } else {
            Group::Others
        };
        Self {
            kuid: cred.euid().into_raw().val,
            group,
        }
    }
}

/// The slots of all users.
#[pin_data]
pub(crate) struct Slots {
    /// A spinlock, because `open` runs under a lock that all misc devices share. A task that lost
    /// the processor while it holds a mutex would delay all of their users.
    #[pin]
    table: SpinLock<Table>,
}

struct Table {
    /// The key is the kuid.
    slots: RBTree<u32, Slot>,
    initial: Order,
    others: Order,
    /// The number of uses of slots so far.
    uses: u64,
    /// The largest number of slots.
    max: usize,
}

#[derive(Clone, Copy)]
struct Slot {
    sum: Sum,
    group: Group,
    /// The number of the use that set the sum.
    set: u64,
    /// The number of the last use.
    used: u64,
}

/// The users of a group in the order in which they last used their slots.
struct Order {
    /// The key is the number of the last use, and the value is the kuid.
    users: RBTree<u64, u32>,
    len: usize,
}

/// Memory for a slot.
pub(super) struct Room {
    slot: RBTreeNodeReservation<u32, Slot>,
    order: RBTreeNodeReservation<u64, u32>,
}

impl Room {
    pub(super) fn new(flags: Flags) -> Result<Self> {
        Ok(Self {
            slot: RBTreeNodeReservation::new(flags)?,
            order: RBTreeNodeReservation::new(flags)?,
        })
    }
}

impl Slots {
    pub(super) fn new() -> Result<Arc<Self>> {
        Self::with_max(MAX_SLOTS)
    }

    fn with_max(max: usize) -> Result<Arc<Self>> {
        let slots = pin_init!(Self {
            table <- new_spinlock!(Table {
                slots: RBTree::new(),
                initial: Order::new(),
                others: Order::new(),
                uses: 0,
                max,
            }),
        });
        Arc::pin_init(slots, GFP_KERNEL)
    }

    /// Returns the slot of `user`. A user without a slot has an empty sum.
    pub(super) fn get(&self, user: User) -> Sum {
        let table = self.table.lock();
        table
            .slots
            .get(&user.kuid)
            .map_or(Sum::EMPTY, |slot| slot.sum)
    }

    /// Returns the slot of `user` as [`Self::get`] does, and makes it the one that was used last.
    pub(super) fn use_slot(&self, user: User) -> Sum {
        let mut table = self.table.lock();
        match table.remove(user.kuid) {
            Some((slot, room)) => {
                table.insert(user.kuid, slot, room);
                slot.sum
            }
            None => Sum::EMPTY,
        }
    }

    /// Returns the number of uses of slots so far.
    pub(super) fn uses(&self) -> u64 {
        self.table.lock().uses
    }

    /// Removes the slot of `user`, unless it has been set since there were so many `uses`.
    pub(super) fn remove_older(&self, user: User, uses: u64) {
        let mut table = self.table.lock();
        if let Some(slot) = table.slots.get(&user.kuid) {
            if slot.set <= uses {
                table.remove(user.kuid);
            }
        }
    }

    /// Sets the slot of `user`. Without `room`, this does nothing if the user has no slot.
    pub(super) fn set(&self, user: User, sum: Sum, room: Option<Room>) {
        let mut table = self.table.lock();
        let room = match table.remove(user.kuid) {
            Some((_, room)) => Some(room),
            None => room,
        };
        // An empty slot and none are the same.
        if let (Some(room), false) = (room, sum.is_empty()) {
            table.make_room(user.group);
            let slot = Slot {
                sum,
                group: user.group,
                set: table.uses + 1,
                used: 0,
            };
            table.insert(user.kuid, slot, room);
        }
    }
}

impl Table {
    fn order(&mut self, group: Group) -> &mut Order {
        match group {
            Group::Initial => &mut self.initial,
            Group::Others => &mut self.others,
        }
    }

    /// Removes a slot. Returns it and its memory.
    fn remove(&mut self, kuid: u32) -> Option<(Slot, Room)> {
        let slot = *self.slots.get(&kuid)?;
        let order = self.order(slot.group);
        let room = Room {
            order: order.users.remove_node(&slot.used)?.into_reservation(),
            slot: self.slots.remove_node(&kuid)?.into_reservation(),
        };
        self.order(slot.group).len -= 1;
        Some((slot, room))
    }

    /// Inserts a slot, which must not exist, as the one that was used last.
    fn insert(&mut self, kuid: u32, slot: Slot, room: Room) {
        self.uses += 1;
        let used = self.uses;
        self.slots
            .insert(room.slot.into_node(kuid, Slot { used, ..slot }));
        let order = self.order(slot.group);
        order.users.insert(room.order.into_node(used, kuid));
        order.len += 1;
    }

    /// Removes a slot if there is no room for another slot of `group`.
    fn make_room(&mut self, group: Group) {
        // If the table is full, at least half of the slots are of the initial namespace.
        let group = if group == Group::Others && self.others.len >= self.max / 2 {
            Group::Others
        } else if self.initial.len + self.others.len >= self.max {
            Group::Initial
        } else {
            return;
        };
        let oldest = self.order(group).users.values().next().copied();
        if let Some(kuid) = oldest {
            self.remove(kuid);
        }
    }
}

impl Order {
    fn new() -> Self {
        Self {
            users: RBTree::new(),
            len: 0,
        }
    }
}

/// Returns a user of the initial user namespace.
#[cfg(CONFIG_KUNIT = "y")]
pub(super) fn test_user(kuid: u32) -> User {
    User {
        kuid,
        group: Group::Initial,
    }
}

#[kunit_tests(adler32_slots)]
mod tests {
    use super::*;
    use crate::uapi::State;

    fn sum(length: u64) -> Result<Sum> {
        Sum::from_state(State {
            value: 1,
            reserved: 0,
            length,
        })
    }

    fn other(kuid: u32) -> User {
        User {
            kuid,
            group: Group::Others,
        }
    }

    /// Sets slots whose sums have the kuids as their lengths.
    fn set(slots: &Slots, users: impl IntoIterator<Item = User>) -> Result {
        for user in users {
            slots.set(user, sum(user.kuid.into())?, Some(Room::new(GFP_KERNEL)?));
        }
        Ok(())
    }

    /// Returns which of the users have slots.
    fn found(slots: &Slots, users: core::ops::Range<u32>) -> [bool; 8] {
        let mut found = [false; 8];
        for (found, kuid) in found.iter_mut().zip(users) {
            *found = slots.get(test_user(kuid)).length() == u64::from(kuid);
        }
        found
    }

    #[test]
    fn least_recently_used_slot_makes_room() -> Result {
        let slots = Slots::with_max(4)?;
        set(&slots, (1..=4).map(test_user))?;
        slots.use_slot(test_user(1));
        set(&slots, [test_user(2), test_user(5)])?;
        assert_eq!(
            found(&slots, 1..6),
            [true, true, false, true, true, false, false, false]
        );
        set(&slots, [test_user(6)])?;
        assert_eq!(
            found(&slots, 1..7),
            [true, true, false, false, true, true, false, false]
        );
        Ok(())
    }

    #[test]
    fn namespaces_get_half_of_the_slots() -> Result {
        let slots = Slots::with_max(4)?;
        set(&slots, (1..=2).map(test_user))?;
        set(&slots, (3..=6).map(other))?;
        assert_eq!(
            found(&slots, 1..7),
            [true, true, false, false, true, true, false, false]
        );
        set(&slots, [test_user(7), test_user(8)])?;
        assert_eq!(
            found(&slots, 1..9),
            [false, false, false, false, true, true, true, true]
        );
        Ok(())
    }

    #[test]
    fn namespaces_get_their_half_back() -> Result {
        let slots = Slots::with_max(4)?;
        set(&slots, (1..=4).map(test_user))?;
        set(&slots, (5..=7).map(other))?;
        assert_eq!(
            found(&slots, 1..8),
            [false, false, true, true, false, true, true, false]
        );
        Ok(())
    }

    #[test]
    fn empty_slots_take_no_room() -> Result {
        let slots = Slots::with_max(2)?;
        set(&slots, [test_user(1), test_user(0), test_user(2)])?;
        assert_eq!(
            found(&slots, 1..3),
            [true, true, false, false, false, false, false, false]
        );
        slots.set(test_user(1), Sum::EMPTY, None);
        set(&slots, [test_user(3)])?;
        assert_eq!(
            found(&slots, 1..4),
            [false, true, true, false, false, false, false, false]
        );
        // Without memory, a slot is set only if it exists.
        slots.set(test_user(4), sum(4)?, None);
        slots.set(test_user(3), sum(5)?, None);
        assert_eq!(slots.get(test_user(4)).length(), 0);
        assert_eq!(slots.get(test_user(3)).length(), 5);
        Ok(())
    }

    #[test]
    fn newer_slots_are_not_removed() -> Result {
        let slots = Slots::with_max(2)?;
        set(&slots, [test_user(1)])?;
        let uses = slots.uses();
        set(&slots, [test_user(2)])?;
        for kuid in 1..=2 {
            slots.use_slot(test_user(kuid));
            slots.remove_older(test_user(kuid), uses);
        }
        assert_eq!(slots.get(test_user(1)).length(), 0);
        assert_eq!(slots.get(test_user(2)).length(), 2);
        Ok(())
    }

    #[test]
    fn table_is_bounded() -> Result {
        let slots = Slots::with_max(1000)?;
        set(&slots, (1..2000).map(test_user))?;
        set(&slots, (2000..4000).map(other))?;
        let table = slots.table.lock();
        assert_eq!([table.initial.len, table.others.len], [500; 2]);
        assert_eq!(table.slots.keys().count(), 1000);
        Ok(())
    }
}
