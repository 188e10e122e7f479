// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Loading and unloading the module.

use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::kmod;
use nix::kmod::ModuleInitFlags;

use crate::points::each_point;
use adler32_tests::device;
use adler32_tests::module;
use adler32_tests::module::Loaded;
use adler32_tests::trials;

trials!(after module::ensure_unloaded:
    load,
    unload,
);

/// Returns the registered devices, and the drivers of the registered hashes, tested or not.
fn registered() -> (String, BTreeSet<Option<String>>) {
    let misc = fs::read_to_string("/proc/misc").expect("/proc/misc");
    let entries = module::proc_crypto().into_iter();
    (
        misc,
        entries.map(|mut entry| entry.remove("driver")).collect(),
    )
}

/// Uses the module and unloads it.
fn use_and_unload() {
    module::ensure_loaded();
    device::publish(b"abc");
    assert_eq!(device::slot(), device::state_of(b"abc"));
    module::unload();
}

/// The last step of each load fails, because another module has registered the driver name.
/// Otherwise the kernel would start a thread that tests the hash. If the kernel cannot start that
/// thread, the hash waits for its test and holds the module: `crypto_schedule_test()`.
fn load() {
    let path = module::modinfo("filename").concat();
    let file = File::open(path).expect("the module's file opens");
    let occupier = Loaded::new("adler32_occupier", "driver=adler32-rust");
    let before = registered();
    each_point(
        &[],
        || {},
        |()| match kmod::finit_module(&file, c"", ModuleInitFlags::empty()) {
            Err(Errno::EBUSY) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(()) => panic!("the hash was registered twice"),
        },
        |(), _| {
            assert!(!module::is_loaded());
            assert!(!Path::new(device::NODE).exists());
            assert_eq!(registered(), before);
        },
    );
    drop(occupier);
    module::assert_absent();
    use_and_unload();
}

fn unload() {
    let before = registered();
    each_point(
        &[],
        module::ensure_loaded,
        |()| module::try_unload().map_err(io::Error::from),
        |(), result| {
            if result.is_err() {
                use_and_unload();
            }
            module::assert_absent();
            assert_eq!(registered(), before);
        },
    );
}
