// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The first use of the hash loads the module, unless the kernel restricts AF_ALG.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use libtest_mimic::Completion;
use nix::errno::Errno;

use adler32_tests::alg::Hash;
use adler32_tests::alg::Restricted;
use adler32_tests::device;
use adler32_tests::module;
use adler32_tests::process;
use adler32_tests::sh;
use adler32_tests::trials;
use adler32_tests::ErrnoOf;

trials!(after module::ensure_unloaded:
    kernel_restricts_by_default,
    restricted_bind_is_refused,
    lifting_the_restriction_opens_af_alg,
    closed_af_alg_leaves_the_device,
    bind_by_name_loads,
    bind_by_driver_name_loads,
    bind_by_any_user_loads,
    loading_on_demand_honors_modprobe_options,
    opening_the_device_needs_the_module,
    unknown_hash_loads_nothing,
);

/// The level of restriction at boot, or `u32::MAX` if the kernel has none.
pub static BOOT_RESTRICTION: AtomicU32 = AtomicU32::new(u32::MAX);

fn unrestricted_kernel() -> Completion {
    Completion::ignored_with("this kernel has no crypto.af_alg_restrict")
}

fn kernel_restricts_by_default() -> Completion {
    match BOOT_RESTRICTION.load(Ordering::Relaxed) {
        u32::MAX => unrestricted_kernel(),
        level => {
            assert_eq!(level, 1);
            Completion::Completed
        }
    }
}

fn restricted_bind_is_refused() -> Completion {
    let Some(_restricted) = Restricted::to(1) else {
        return unrestricted_kernel();
    };
    for loaded in [false, true] {
        if loaded {
            module::ensure_loaded();
        }
        assert_eq!(Hash::bind(module::NAME).errno(), Errno::ENOENT);
        assert_eq!(Hash::bind(module::DRIVER).errno(), Errno::ENOENT);
        let info = sh("adler32 info || true");
        assert!(info.contains("crypto.af_alg_restrict=0"), "{info}");
    }
    Completion::Completed
}

fn lifting_the_restriction_opens_af_alg() -> Completion {
    let Some(_restricted) = Restricted::to(1) else {
        return unrestricted_kernel();
    };
    assert_eq!(Hash::bind(module::NAME).errno(), Errno::ENOENT);
    sh("sysctl -q crypto.af_alg_restrict=0");
    bind_by_name_loads();
    Completion::Completed
}

fn closed_af_alg_leaves_the_device() -> Completion {
    let Some(_closed) = Restricted::to(2) else {
        return unrestricted_kernel();
    };
    assert_eq!(Hash::bind(module::NAME).errno(), Errno::EAFNOSUPPORT);
    module::ensure_loaded();
    device::publish(b"abc");
    assert_eq!(device::slot(), device::state_of(b"abc"));
    let info = sh("adler32 info || true");
    assert!(info.contains("crypto.af_alg_restrict=0"), "{info}");
    Completion::Completed
}

fn bind_by_name_loads() {
    let operation = Hash::adler32().accept();
    assert!(module::is_loaded());
    operation.send(b"Wikipedia").expect("send");
    assert_eq!(operation.value(), 0x11e6_0398);
}

fn bind_by_driver_name_loads() {
    let operation = Hash::bind(module::DRIVER).expect("bind").accept();
    assert!(module::is_loaded());
    operation.send(b"Wikipedia").expect("send");
    assert_eq!(operation.value(), 0x11e6_0398);
}

fn bind_by_any_user_loads() {
    let value = process::as_fresh_user(|| {
        let operation = Hash::adler32().accept();
        operation.send(b"abc").expect("send");
        operation.value()
    });
    assert_eq!(value, 0x024d_0127);
    assert!(module::is_loaded());
}

fn loading_on_demand_honors_modprobe_options() {
    const OPTIONS: &str = "/etc/modprobe.d/adler32-test.conf";
    fs::write(OPTIONS, "options adler32 mode=0640\n").expect(OPTIONS);
    let bound = Hash::bind(module::NAME);
    fs::remove_file(OPTIONS).expect(OPTIONS);
    bound.expect("bind to adler32");
    sh("udevadm settle");
    let mode = fs::metadata(device::NODE)
        .expect("the node is there")
        .permissions()
        .mode();
    module::unload();
    assert_eq!(mode & 0o7777, 0o640, "{mode:o}");
}

fn opening_the_device_needs_the_module() {
    assert_eq!(device::open(libc::O_RDONLY).errno(), Errno::ENOENT);
    assert!(!module::is_loaded());
    let info = sh("adler32 info || true");
    assert!(info.contains("modprobe adler32"), "{info}");
}

fn unknown_hash_loads_nothing() {
    for name in [
        "adler32-zlib",
        "adler",
        "adler320",
        "ADLER32",
        "crypto-adler32",
    ] {
        assert_eq!(Hash::bind(name).errno(), Errno::ENOENT, "{name}");
    }
    assert!(!module::is_loaded());
}
