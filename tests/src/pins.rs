// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How many pages the kernel keeps in memory for those who read or write them where they are.

use std::fs;

/// Counts since the system was started.
#[derive(Clone, Copy)]
pub struct Pins {
    pub acquired: i64,
    released: i64,
}

impl Pins {
    pub fn now() -> Self {
        // Each processor counts for itself, and reports now and then or when asked to. A kernel for
        // one processor has no such file.
        let _ = fs::read("/proc/sys/vm/stat_refresh");
        let text = fs::read_to_string("/proc/vmstat").expect("/proc/vmstat");
        let count = |key| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
                .unwrap_or_else(|| panic!("/proc/vmstat has no {key}"))
        };
        Self {
            acquired: count("nr_foll_pin_acquired"),
            released: count("nr_foll_pin_released"),
        }
    }

    /// Returns how many pages are pinned.
    pub fn held(self) -> i64 {
        self.acquired - self.released
    }
}
