// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The metadata of the module, its parameters, and repeated loads.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;

use nix::errno::Errno;

use adler32_tests::device;
use adler32_tests::device::text_of;
use adler32_tests::device::Device;
use adler32_tests::files;
use adler32_tests::module;
use adler32_tests::module::fastest_implementation;
use adler32_tests::module::processor_has;
use adler32_tests::module::Loaded;
use adler32_tests::module::Log;
use adler32_tests::module::IMPLEMENTATIONS;
use adler32_tests::process;
use adler32_tests::sh;
use adler32_tests::trials;
use adler32_tests::ErrnoOf;

trials!(after module::ensure_unloaded:
    modinfo_is_complete,
    parameters_are_described,
    loading_logs_one_line,
    node_is_made_with_the_device,
    crypto_entry_is_ours,
    mode_sets_the_node,
    mode_keeps_others_out,
    bad_mode_is_refused,
    fastest_implementation_is_chosen,
    implementation_is_chosen,
    implementation_in_use_can_be_read,
    bad_implementation_is_refused,
    loading_twice_is_refused,
    reload_100_times,
);

fn modinfo_is_complete() {
    assert_eq!(module::modinfo("license"), ["GPL"]);
    assert_eq!(module::modinfo("depends"), [""]);
    let release = sh("uname -r");
    let vermagic = module::modinfo("vermagic").concat();
    assert_eq!(
        vermagic.split(' ').next(),
        Some(release.trim()),
        "{vermagic}"
    );
    let mut aliases = module::modinfo("alias");
    aliases.sort();
    assert_eq!(aliases, ["crypto-adler32", "crypto-adler32-rust"]);
    for field in ["author", "description", "version"] {
        let value = module::modinfo(field).concat();
        assert!(!value.trim().is_empty(), "no {field}");
    }
}

/// Returns the names that the parameter `implementation` takes.
fn names() -> String {
    let names = IMPLEMENTATIONS.map(|(name, _)| name);
    format!("auto, {}", names.join(", "))
}

fn parameters_are_described() {
    let described = module::modinfo("parm");
    for (name, words) in [("implementation", names().as_str()), ("mode", "0666")] {
        let prefix = format!("{name}:");
        let line = described.iter().find(|line| line.starts_with(&prefix));
        let line = line.unwrap_or_else(|| panic!("{name} is not in {described:?}"));
        assert!(line.contains(words), "{line}");
    }
    assert_eq!(described.len(), 2, "{described:?}");
}

fn loading_logs_one_line() {
    let mut log = Log::from_now();
    let _loaded = Loaded::new(module::NAME, "");
    let mut lines = log.of_module();
    // The kernel itself logs that the module is out of tree, and that it has no test for the hash.
    lines.retain(|line| !line.contains("taint") && !line.contains("No test for"));
    let [line] = &lines[..] else {
        panic!("{lines:#?}")
    };
    let info = device::view().info().expect("INFO");
    let version = text_of(&info.module_version);
    assert_eq!(module::modinfo("version"), [version.as_str()]);
    assert!(line.starts_with("adler32: "), "{line}");
    for word in [version, text_of(&info.implementation)] {
        assert!(line.contains(&word), "{word} is not in: {line}");
    }
}

fn node_is_made_with_the_device() {
    let _loaded = Loaded::new(module::NAME, "");
    let node = fs::metadata(device::NODE).expect("the node is there");
    assert!(node.file_type().is_char_device());
    assert_eq!(node.mode() & 0o7777, 0o666, "{:o}", node.mode());
    assert_eq!((node.uid(), node.gid()), (0, 0));
    let minor = module::misc_minor().expect("an entry in /proc/misc");
    assert_eq!(node.rdev(), libc::makedev(10, minor));
    let number = fs::read_to_string("/sys/class/misc/adler32/dev").expect("the device in sysfs");
    assert_eq!(number.trim(), format!("10:{minor}"));
    sh("udevadm settle");
    let node = fs::metadata(device::NODE).expect("the node is there");
    assert_eq!(node.mode() & 0o7777, 0o666, "after udev: {:o}", node.mode());
}

fn crypto_entry_is_ours() {
    let _loaded = Loaded::new(module::NAME, "");
    let entry = module::crypto_entry(module::DRIVER).expect("an entry in /proc/crypto");
    for (key, value) in [
        ("name", "adler32"),
        ("module", "adler32"),
        ("priority", "90"),
        ("selftest", "passed"),
        ("internal", "no"),
        ("type", "shash"),
        ("blocksize", "1"),
        ("digestsize", "4"),
    ] {
        assert_eq!(entry.get(key).map(String::as_str), Some(value), "{key}");
    }
}

fn node_mode() -> u32 {
    fs::metadata(device::NODE)
        .expect("the node is there")
        .mode()
        & 0o7777
}

fn mode_sets_the_node() {
    // udev must not change these nodes because of an earlier node.
    sh("udevadm settle");
    for (parameter, mode) in [
        ("mode=0600", 0o600),
        ("mode=0660", 0o660),
        ("mode=0444", 0o444),
        ("mode=0222", 0o222),
        ("mode=0x1b6", 0o666),
        ("mode=438", 0o666),
    ] {
        let _loaded = Loaded::new(module::NAME, parameter);
        assert_eq!(node_mode(), mode, "{parameter}");
        sh("udevadm settle");
        assert_eq!(node_mode(), mode, "{parameter}, after udev");
    }
}

fn mode_keeps_others_out() {
    let _loaded = Loaded::new(module::NAME, "mode=0600");
    device::publish(b"root may");
    for flags in [libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR] {
        let refused = process::as_fresh_user(|| device::open(flags).errno());
        assert_eq!(refused, Errno::EACCES, "{flags:#x}");
    }
}

/// Checks that a load with this parameter fails, logs one line with its name, and leaves nothing
/// behind. Returns the line.
#[track_caller]
fn assert_refused(parameter: &str, errors: &[Errno]) -> String {
    let lines = refuse(parameter, errors);
    let [line] = &lines[..] else {
        panic!("{parameter}: {lines:#?}")
    };
    line.clone()
}

/// Checks that a load with this parameter fails, logs lines with its name, and leaves nothing
/// behind. Returns the lines.
#[track_caller]
fn refuse(parameter: &str, errors: &[Errno]) -> Vec<String> {
    let mut log = Log::from_now();
    let error = module::load(module::NAME, parameter).errno();
    if error == Errno::UnknownErrno {
        module::unload();
    }
    assert!(
        errors.contains(&error),
        "{parameter}: {error:?}, not one of {errors:?}"
    );
    let lines = log.of_module();
    let name = parameter.split('=').next().unwrap_or_default();
    assert!(lines.iter().all(|line| line.contains(name)), "{lines:#?}");
    module::assert_absent();
    lines
}

fn bad_mode_is_refused() {
    // No permissions, permissions that make no sense for a device, or decimal instead of octal.
    for parameter in [
        "mode=01000",
        "mode=07777",
        "mode=01666",
        "mode=0777",
        "mode=0700",
        "mode=0001",
        "mode=0",
        "mode=666",
        "mode=440",
        "mode=0xffff",
    ] {
        let line = assert_refused(parameter, &[Errno::EINVAL]);
        assert!(
            line.contains("mode=0666"),
            "the line does not contain the fix: {line}"
        );
    }
    // Not a number, or too large a number. The kernel itself refuses these.
    for parameter in [
        "mode=65536",
        "mode=-1",
        "mode=abc",
        "mode=0668",
        "mode=",
        "mode=99999999999999999999",
    ] {
        assert_refused(parameter, &[Errno::EINVAL, Errno::ERANGE]);
    }
}

fn fastest_implementation_is_chosen() {
    let _loaded = Loaded::new(module::NAME, "");
    let info = device::view().info().expect("INFO");
    assert_eq!(text_of(&info.implementation), fastest_implementation());
}

fn implementation_is_chosen() {
    for (name, flags) in IMPLEMENTATIONS {
        let parameter = format!("implementation={name} mode=0600");
        if !processor_has(flags) {
            let line = assert_refused(&parameter, &[Errno::ENODEV]);
            assert!(line.contains(name), "{line}");
            continue;
        }
        let _loaded = Loaded::new(module::NAME, &parameter);
        let info = device::view().info().expect("INFO");
        assert_eq!(text_of(&info.implementation), name);
        assert_eq!(device::view().fdinfo()["implementation"], name);
        // Long enough for vectors, and of an odd length.
        let data: Vec<u8> = (0..300_007u32)
            .map(|i| (i.wrapping_mul(i) >> 7) as u8)
            .collect();
        device::publish(&data);
        assert_eq!(device::slot(), device::state_of(&data), "{name}");
    }
}

fn implementation_in_use_can_be_read() {
    let directory = "/sys/module/adler32/parameters";
    let file = format!("{directory}/implementation");
    let fastest = fastest_implementation();
    for (parameter, name) in [
        ("", fastest),
        ("implementation=auto", fastest),
        ("implementation=portable", "portable"),
        // modprobe passes all of what the command line, /etc/modprobe.d and its user ask for.
        ("implementation=portable implementation=auto", fastest),
        ("implementation=auto implementation=portable", "portable"),
    ] {
        let _loaded = Loaded::new(module::NAME, parameter);
        assert_eq!(files::names_in(directory).unwrap(), ["implementation"]);
        let read = || fs::read_to_string(&file).expect("the parameter can be read");
        let expected = format!("{name}\n");
        assert_eq!(process::as_fresh_user(read), expected, "{parameter}");

        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o444, "{mode:o}");
        assert_eq!(fs::write(&file, "portable").errno(), Errno::EACCES);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(fs::write(&file, "portable").errno(), Errno::EIO);
        assert_eq!(read(), expected, "{parameter}");
    }
}

fn bad_implementation_is_refused() {
    for value in [
        "fast",
        "fast mode=0600",
        "portable implementation=fast",
        "0",
        "1",
        "-1",
        "Portable",
        "portabl",
        "portable2",
        "portable,",
        "avx512_vnni",
        "\"auto, portable\"",
        "",
        if cfg!(target_arch = "aarch64") {
            "avx2"
        } else {
            "neon"
        },
    ] {
        let lines = refuse(&format!("implementation={value}"), &[Errno::EINVAL]);
        let [line, of_kernel] = &lines[..] else {
            panic!("{value}: {lines:#?}")
        };
        assert!(line.ends_with(&names()), "{line}");
        assert!(of_kernel.contains("invalid for parameter"), "{of_kernel}");
    }
    // No value.
    assert_refused("implementation", &[Errno::EINVAL]);
}

fn loading_twice_is_refused() {
    let _loaded = Loaded::new(module::NAME, "");
    device::publish(b"abc");
    assert_eq!(module::load(module::NAME, "").errno(), Errno::EEXIST);
    assert_eq!(device::slot(), device::state_of(b"abc"));
}

fn reload_100_times() {
    let listing = || {
        sh("udevadm settle");
        let crypto = module::proc_crypto();
        let misc = fs::read_to_string("/proc/misc").expect("/proc/misc");
        let nodes = files::names_in("/dev").expect("/dev");
        let modules = files::names_in("/sys/module").expect("/sys/module");
        (crypto, misc, nodes, modules)
    };
    // The first load also loads what the kernel then keeps, such as the test manager.
    drop(Loaded::new(module::NAME, ""));
    let before = listing();
    for round in 0..100 {
        let _loaded = Loaded::new(module::NAME, "");
        if round % 10 == 0 {
            device::publish(b"abc");
            assert_eq!(device::slot(), device::state_of(b"abc"));
        }
    }
    assert_eq!(listing(), before);
    module::assert_absent();
}
