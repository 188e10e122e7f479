// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What all other tests have left behind, as the kernel's own search for leaks sees it.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use libtest_mimic::Completion;

use crate::module;
use crate::trials;

trials!(after module::ensure_unloaded:
    no_memory_is_lost,
);

/// Returns the kernel's search for leaks, if it has one.
pub fn kmemleak() -> Option<&'static Path> {
    let path = Path::new("/sys/kernel/debug/kmemleak");
    path.exists().then_some(path)
}

fn no_memory_is_lost() -> Completion {
    let Some(kmemleak) = kmemleak() else {
        return Completion::ignored_with("this kernel has no kmemleak");
    };
    // What is younger than five seconds does not count as lost.
    thread::sleep(Duration::from_secs(6));
    // The first look notes what is in memory, and the second reports what has not changed since.
    for _ in 0..2 {
        fs::write(kmemleak, "scan").expect("kmemleak looks for leaks");
    }
    let lost = fs::read_to_string(kmemleak).expect("kmemleak tells");
    assert!(lost.is_empty(), "{lost}");
    Completion::Completed
}
