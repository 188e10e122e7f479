// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A load that fails halfway leaves nothing registered. Another vendor's hash of the same name
//! wins.

use std::fs;
use std::path::Path;

use nix::errno::Errno;

use adler32_tests::alg::Hash;
use adler32_tests::device;
use adler32_tests::files;
use adler32_tests::module;
use adler32_tests::module::Loaded;
use adler32_tests::sh;
use adler32_tests::trials;
use adler32_tests::try_sh;
use adler32_tests::ErrnoOf;

trials!(after module::ensure_unloaded:
    device_name_taken,
    driver_name_taken,
    both_taken,
    modprobe_reports_the_failure,
    other_vendor_wins_the_name,
    failing_load_again_and_again,
);

/// A test module that registers a device or a hash with given names.
const OCCUPIER: &str = "adler32_occupier";

/// The error of a load when a name is taken. The kernel reserves EEXIST for a module that is
/// already loaded, and turns an EEXIST from a module's init function into EBUSY.
const TAKEN: Errno = Errno::EBUSY;

#[track_caller]
fn assert_loads() {
    drop(Loaded::new(module::NAME, ""));
    module::assert_absent();
}

fn device_name_taken() {
    let occupier = Loaded::new(OCCUPIER, "device=adler32");
    let minor = module::misc_minor();
    assert_eq!(module::load(module::NAME, "").errno(), TAKEN);
    assert!(!module::is_loaded());
    assert_eq!(module::crypto_entry(module::DRIVER), None);
    assert_eq!(module::misc_minor(), minor, "the other device is untouched");
    assert!(Path::new(device::NODE).exists());
    drop(occupier);
    module::assert_absent();
    assert_loads();
}

fn driver_name_taken() {
    let occupier = Loaded::new(OCCUPIER, "driver=adler32-rust priority=1");
    assert_eq!(module::load(module::NAME, "").errno(), TAKEN);
    assert!(!module::is_loaded());
    let entry = module::crypto_entry(module::DRIVER).expect("the other hash is untouched");
    assert_eq!(entry["module"], OCCUPIER);
    assert_eq!(module::misc_minor(), None);
    assert!(!Path::new(device::NODE).exists());
    assert!(!Path::new("/sys/class/misc/adler32").exists());
    drop(occupier);
    module::assert_absent();
    assert_loads();
}

fn both_taken() {
    let occupier = Loaded::new(OCCUPIER, "device=adler32 driver=adler32-rust");
    assert_eq!(module::load(module::NAME, "").errno(), TAKEN);
    assert!(!module::is_loaded());
    drop(occupier);
    module::assert_absent();
    assert_loads();
}

fn modprobe_reports_the_failure() {
    let _occupier = Loaded::new(OCCUPIER, "driver=adler32-rust");
    let (success, output) = try_sh("modprobe adler32");
    assert!(
        !success && output.contains("Device or resource busy"),
        "{output}"
    );
}

fn other_vendor_wins_the_name() {
    let occupier = Loaded::new(OCCUPIER, "driver=adler32-zlib priority=100");
    let ours = Loaded::new(module::NAME, "");
    // The digest of the other module is always zero.
    for (name, value) in [
        ("adler32", 0),
        ("adler32-zlib", 0),
        ("adler32-rust", 0x024d_0127),
    ] {
        let operation = Hash::bind(name).expect("bind").accept();
        operation.send(b"abc").expect("send");
        assert_eq!(operation.value(), value, "{name}");
    }
    drop(ours);
    drop(occupier);
}

fn failing_load_again_and_again() {
    let occupier = Loaded::new(OCCUPIER, "driver=adler32-rust");
    let state = || {
        let misc = fs::read_to_string("/proc/misc").expect("/proc/misc");
        let nodes = files::names_in("/dev").expect("/dev");
        (misc, nodes)
    };
    let before = state();
    for _ in 0..20 {
        assert_eq!(module::load(module::NAME, "").errno(), TAKEN);
    }
    sh("udevadm settle");
    assert_eq!(state(), before);
    drop(occupier);
    assert_loads();
}
