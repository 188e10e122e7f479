// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How much memory the system uses, and how many pages the kernel has pinned.

use std::fs;

/// Returns the number in the line of `text` that starts with `key`.
pub(crate) fn count(text: &str, key: &str) -> i64 {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no {key} in:\n{text}"))
}

/// Returns the KiB in a line of `/proc/meminfo`.
pub fn meminfo(key: &str) -> i64 {
    let text = fs::read_to_string("/proc/meminfo").expect("/proc/meminfo");
    count(&text, &format!("{key}:"))
}

/// The most memory that the system took since a test began, in KiB.
pub struct Taken {
    available: i64,
    slab: i64,
    most: i64,
    most_slab: i64,
}

impl Taken {
    pub fn from_now() -> Self {
        Self {
            available: meminfo("MemAvailable"),
            slab: meminfo("Slab"),
            most: 0,
            most_slab: 0,
        }
    }

    /// Measures the memory taken at this moment.
    pub fn measure(&mut self) {
        self.most = self.most.max(self.available - meminfo("MemAvailable"));
        self.most_slab = self.most_slab.max(meminfo("Slab") - self.slab);
    }

    /// Fails if `all` KiB of memory, or `slab` KiB of the kernel's slabs, were ever taken.
    #[track_caller]
    pub fn assert_below(&self, all: i64, slab: i64) {
        let Self {
            most, most_slab, ..
        } = self;
        assert!(*most < all, "{most} KiB of memory were taken");
        assert!(*most_slab < slab, "{most_slab} KiB of slabs were taken");
    }
}

/// How many pages the kernel has pinned and unpinned since boot, to read or write them in place.
#[derive(Clone, Copy)]
pub struct Pins {
    pub acquired: i64,
    released: i64,
}

impl Pins {
    pub fn now() -> Self {
        // Each processor counts for itself and adds its count to the sum now and then, or when
        // this file is read. A kernel for one processor has no such file.
        let _ = fs::read("/proc/sys/vm/stat_refresh");
        let text = fs::read_to_string("/proc/vmstat").expect("/proc/vmstat");
        Self {
            acquired: count(&text, "nr_foll_pin_acquired "),
            released: count(&text, "nr_foll_pin_released "),
        }
    }

    /// Returns how many pages are pinned.
    pub fn held(self) -> i64 {
        self.acquired - self.released
    }
}
