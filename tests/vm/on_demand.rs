// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The first use of the hash loads the module, unless the kernel restricts AF_ALG.

use std::ffi::CStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use libc::c_char;
use libtest_mimic::Completion;
use nix::errno::Errno;

use adler32_tests::alg::Hash;
use adler32_tests::alg::Restricted;
use adler32_tests::device;
use adler32_tests::module;
use adler32_tests::process;
use adler32_tests::reference;
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
    key_derivation_by_any_user_loads,
    loading_on_demand_honors_modprobe_options,
    modprobe_lines_prevent_loading_on_demand,
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

/// The keys of a Diffie-Hellman exchange, as `keyctl(KEYCTL_DH_COMPUTE)` takes them.
#[derive(Default)]
#[repr(C)]
struct Keys {
    private: i32,
    prime: i32,
    base: i32,
}

/// How `keyctl(KEYCTL_DH_COMPUTE)` derives bytes from the shared secret.
#[repr(C)]
struct Derivation {
    hash: *const c_char,
    info: *const u8,
    info_len: u32,
    spare: [u32; 8],
}

/// Adds a key to the keyring of the thread.
fn add_key(name: &CStr, value: &[u8]) -> i32 {
    const THREAD_KEYRING: i32 = -1;
    let (kind, value, len) = (c"user".as_ptr(), value.as_ptr(), value.len());
    // SAFETY: The kernel reads two strings and `len` bytes.
    let key = unsafe {
        libc::syscall(
            libc::SYS_add_key,
            kind,
            name.as_ptr(),
            value,
            len,
            THREAD_KEYRING,
        )
    };
    Errno::result(key).expect("add_key") as i32
}

/// Fills `output` with bytes that the kernel derives with the hash, or fails as `keyctl(2)` does.
fn derive(keys: &Keys, info: &[u8], output: &mut [u8]) -> nix::Result<()> {
    let derivation = Derivation {
        hash: c"adler32".as_ptr(),
        info: info.as_ptr(),
        info_len: info.len() as u32,
        spare: [0; 8],
    };
    // SAFETY: The kernel reads the structures, the name and `info`, and writes to `output`.
    let result = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            libc::KEYCTL_DH_COMPUTE,
            &raw const *keys,
            output.as_mut_ptr(),
            output.len(),
            &raw const derivation,
        )
    };
    Errno::result(result).map(drop)
}

/// Returns whether the kernel derives keys at all.
fn kernel_derives_keys() -> bool {
    ![Errno::ENOSYS, Errno::EOPNOTSUPP].contains(&derive(&Keys::default(), b"", &mut []).errno())
}

fn key_derivation_by_any_user_loads() -> Completion {
    if !kernel_derives_keys() {
        return Completion::ignored_with("this kernel has no keyctl(KEYCTL_DH_COMPUTE)");
    }
    for level in [1, 2] {
        let _restricted = Restricted::to(level);
        module::ensure_unloaded();
        process::in_thread(|| {
            let user = process::fresh_user().into();
            process::set_thread_uids(user, user, user);
            // The kernel looks for the hash before it looks for the keys.
            let failed = derive(&Keys::default(), b"", &mut [0; 16]);
            assert_eq!(failed.errno(), Errno::ENOKEY);
            assert!(module::is_loaded(), "level {level}");

            let keys = Keys {
                private: add_key(c"private", &[10]),
                prime: add_key(c"prime", &[0xff; 256]),
                base: add_key(c"base", &[2]),
            };
            let mut output = [0; 22];
            derive(&keys, b"information", &mut output).expect("KEYCTL_DH_COMPUTE");
            // The secret is the base to the power of the private key: 1024.
            let secret = [&[0; 254][..], &1024_u16.to_be_bytes()].concat();
            for (counter, part) in (1_u32..).zip(output.chunks(4)) {
                let data = [&counter.to_be_bytes()[..], &secret, b"information"].concat();
                let digest = reference::adler(&data).to_be_bytes();
                assert_eq!(part, &digest[..part.len()], "level {level}, part {counter}");
            }
        });
    }
    Completion::Completed
}

/// Runs `work` while modprobe reads `line` in its configuration.
fn with_modprobe_line<T>(line: &str, work: impl FnOnce() -> T) -> T {
    const FILE: &str = "/etc/modprobe.d/adler32-test.conf";
    fs::write(FILE, line).expect(FILE);
    let result = work();
    fs::remove_file(FILE).expect(FILE);
    result
}

fn loading_on_demand_honors_modprobe_options() {
    let bound = with_modprobe_line("options adler32 mode=0640\n", || Hash::bind(module::NAME));
    bound.expect("bind to adler32");
    sh("udevadm settle");
    let mode = fs::metadata(device::NODE)
        .expect("the node is there")
        .permissions()
        .mode();
    module::unload();
    assert_eq!(mode & 0o7777, 0o640, "{mode:o}");
}

fn modprobe_lines_prevent_loading_on_demand() {
    for line in ["blacklist adler32\n", "install adler32 /bin/false\n"] {
        with_modprobe_line(line, || {
            for name in [module::NAME, module::DRIVER] {
                assert_eq!(Hash::bind(name).errno(), Errno::ENOENT, "{line}");
            }
            if kernel_derives_keys() {
                let derived = derive(&Keys::default(), b"", &mut [0; 16]);
                assert_eq!(derived.errno(), Errno::ENOENT, "{line}");
            }
            assert!(!module::is_loaded(), "{line}");
        });
    }
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
