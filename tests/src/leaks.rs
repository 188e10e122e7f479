// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The last test of a program: kmemleak finds no memory that the tests before it have leaked.

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

/// Returns the file of kmemleak, which debug kernels have.
pub fn kmemleak() -> Option<&'static Path> {
    let path = Path::new("/sys/kernel/debug/kmemleak");
    path.exists().then_some(path)
}

fn no_memory_is_lost() -> Completion {
    let Some(kmemleak) = kmemleak() else {
        return Completion::ignored_with("this kernel has no kmemleak");
    };
    // kmemleak reports no object that is younger than five seconds.
    thread::sleep(Duration::from_secs(6));
    // The first scan stores checksums of the objects, and the second reports the objects that have
    // not changed since.
    for _ in 0..2 {
        fs::write(kmemleak, "scan").expect("kmemleak scans");
    }
    let lost = fs::read_to_string(kmemleak).expect("kmemleak's report");
    assert!(lost.is_empty(), "{lost}");
    Completion::Completed
}
