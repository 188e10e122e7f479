// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Checks on a real guest. They need root's rights and make the lab's cache if there is none, so
//! they run on request only: `cargo test -- --ignored`.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Once;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::pty::{openpty, Winsize};

/// The flavours of the kernel, each of which must keep what the others promise; with detectors, they
/// only take longer.
const FLAVOURS: [&str; 2] = ["stock", "uml"];

fn lab(folder: &Path, arguments: &[&str]) -> Command {
    // To make a kernel takes longer than tests wait, and those at the same time wait for it, too.
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        for flavour in FLAVOURS {
            let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
            command.args(["vm", "--flavour", flavour, "--", "true"]);
            let status = command
                .current_dir(folder)
                .status()
                .expect("lab must start");
            assert!(status.success(), "{flavour}: {status}");
        }
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.args(arguments).current_dir(folder);
    command
}

fn output(folder: &Path, arguments: &[&str]) -> Output {
    lab(folder, arguments).output().expect("lab must start")
}

/// An empty folder for the test called `name`.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder.canonicalize().unwrap()
}

#[test]
#[ignore = "boots a guest"]
fn a_command_runs_as_if_here() {
    let folder = folder("command");
    let bytes: Vec<u8> = (0..200_000u32)
        .flat_map(|n| n.wrapping_mul(n).to_le_bytes())
        .collect();
    fs::write(folder.join("bytes"), &bytes).unwrap();
    fs::create_dir(folder.join("bin")).unwrap();
    let tool = folder.join("bin/tool");
    fs::write(&tool, "#!/bin/sh\ncat bytes\ncat >made\npwd >&2\nexit 42\n").unwrap();
    fs::set_permissions(&tool, PermissionsExt::from_mode(0o755)).unwrap();

    for flavour in FLAVOURS {
        let output = output(
            &folder,
            &["vm", "--flavour", flavour, "--path", "bin", "--", "tool"],
        );
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(42), "{flavour}: {errors}");
        assert!(
            output.stdout == bytes,
            "{flavour}: the output is not the file's bytes"
        );
        assert!(
            errors.lines().any(|line| Path::new(line) == folder),
            "{flavour}: {errors}"
        );
        assert_eq!(fs::read(folder.join("made")).unwrap(), b"", "{flavour}");
        fs::remove_file(folder.join("made")).unwrap();
    }
}

#[test]
#[ignore = "boots a guest"]
fn the_guest_is_a_system() {
    let script = r#"
        set -e
        modprobe $MODULE && lsmod | grep -q ^$MODULE
        python3 -c 'import socket; socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)'
        ip -brief address show lo | grep -q 127.0.0.1
        udevadm info /dev/$DEVICE | grep -q MAJOR
        setpriv --reuid 1000 --regid 1000 --clear-groups sh -c 'test $(id -u) = 1000; echo x > /tmp/x'
        echo x > /dev/stdout
        echo x > /etc/written-by-the-guest"#;
    let folder = folder("system");
    for (flavour, module, device) in [("stock", "dummy", "fuse"), ("uml", "ecb", "null")] {
        let script = format!("MODULE={module} DEVICE={device}\n{script}");
        let first = output(
            &folder,
            &["vm", "--flavour", flavour, "--", "sh", "-c", &script],
        );
        assert!(first.status.success(), "{flavour}: {first:?}");
        assert_eq!(first.stdout, b"x\n", "{flavour}");
        let gone = output(
            &folder,
            &["run", "test", "!", "-e", "/etc/written-by-the-guest"],
        );
        assert!(
            gone.status.success(),
            "{flavour}: the guest has written to the root"
        );
    }
}

#[test]
#[ignore = "boots a guest"]
fn a_crash_is_a_failure_with_the_log() {
    let folder = folder("crash");
    for flavour in FLAVOURS {
        let crash = "echo c > /proc/sysrq-trigger";
        let output = output(
            &folder,
            &["vm", "--flavour", flavour, "--", "sh", "-c", crash],
        );
        assert_eq!(output.status.code(), Some(97), "{flavour}: {output:?}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            errors.contains("Kernel panic - not syncing: sysrq triggered crash"),
            "{flavour}: {errors}"
        );
    }
}

#[test]
#[ignore = "boots a guest"]
fn a_run_that_takes_too_long_is_ended() {
    let folder = folder("timeout");
    for flavour in FLAVOURS {
        let started = Instant::now();
        let command = ["--timeout", "5", "--", "sleep", "1000"];
        let output = output(
            &folder,
            &[&["vm", "--flavour", flavour], &command[..]].concat(),
        );
        assert_eq!(output.status.code(), Some(124), "{flavour}: {output:?}");
        assert!(started.elapsed() < Duration::from_secs(60), "{flavour}");
    }
}

#[test]
#[ignore = "boots a guest"]
fn time_passes_with_instructions() {
    let folder = folder("icount");
    let source = r#"
        #include <stdio.h>
        #include <time.h>
        int main(void)
        {
            struct timespec a, b;
            long count = 100000000;
            clock_gettime(CLOCK_MONOTONIC, &a);
            __asm__ volatile("1: dec %0; jnz 1b" : "+r"(count));
            clock_gettime(CLOCK_MONOTONIC, &b);
            printf("%ld", (b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec);
        }"#;
    fs::write(folder.join("loop.c"), source).unwrap();
    let built = output(&folder, &["run", "gcc", "-o", "loop", "loop.c"]);
    assert!(built.status.success(), "{built:?}");

    let icount = ["vm", "--icount", "--append", "cryptomgr.notests"];
    let output = output(&folder, &[&icount[..], &["--", "./loop"]].concat());
    assert!(output.status.success(), "{output:?}");
    let time: u64 = String::from_utf8_lossy(&output.stdout).parse().unwrap();
    // Two instructions each time, and what the kernel does on the way.
    assert!((200_000_000..204_000_000).contains(&time), "{time} ns");
}

#[test]
#[ignore = "boots a guest"]
fn a_killed_lab_leaves_nothing() {
    let mark = format!("lab.test={}", std::process::id());
    let running = || {
        fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            fs::read(entry.path().join("cmdline")).is_ok_and(|line| {
                let line = String::from_utf8_lossy(&line).into_owned();
                let machine = line.starts_with("qemu") || line.starts_with("/usr/src/linux-");
                machine && line.contains(&mark)
            })
        })
    };
    let wait_for = |wanted, flavour| {
        let started = Instant::now();
        while running() != wanted && started.elapsed() < Duration::from_secs(60) {
            sleep(Duration::from_millis(50));
        }
        assert_eq!(running(), wanted, "{flavour}: the machine runs");
    };
    let mounts = || fs::read_to_string("/proc/mounts").unwrap();
    let before = mounts();
    for flavour in FLAVOURS {
        let append = ["--append", &mark, "--", "sleep", "1000"];
        let mut child = lab(
            &folder("killed"),
            &[&["vm", "--flavour", flavour], &append[..]].concat(),
        )
        .spawn()
        .unwrap();
        wait_for(true, flavour);
        child.kill().unwrap();
        child.wait().unwrap();
        wait_for(false, flavour);
        assert_eq!(mounts(), before, "{flavour}");
    }
}

#[test]
#[ignore = "boots a guest"]
fn a_shell_has_a_terminal_of_our_size() {
    let size = Winsize {
        ws_row: 33,
        ws_col: 101,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    for flavour in FLAVOURS {
        let pty = openpty(Some(&size), None).unwrap();
        let command = ["--", "sh", "-c", "sleep 1; stty size; exit 7"];
        let mut child = lab(
            &folder("shell"),
            &[&["shell", "--flavour", flavour], &command[..]].concat(),
        )
        .stdin(pty.slave.try_clone().unwrap())
        .stdout(Stdio::piped())
        .stderr(pty.slave)
        .spawn()
        .unwrap();
        let mut seen = String::new();
        std::io::Read::read_to_string(child.stdout.as_mut().unwrap(), &mut seen).unwrap();
        drop(File::from(pty.master));
        assert_eq!(child.wait().unwrap().code(), Some(7), "{flavour}: {seen}");
        assert!(seen.contains("33 101"), "{flavour}: {seen}");
    }
}

#[test]
#[ignore = "boots a guest"]
fn a_rust_module_loads() {
    let folder = folder("module");
    fs::write(folder.join("Kbuild"), "obj-m := lab_greets.o\n").unwrap();
    let source = r#"
        //! Says hello.
        use kernel::prelude::*;
        module! {
            type: Greets,
            name: "lab_greets",
            authors: ["lab"],
            description: "Says hello",
            license: "GPL",
        }
        struct Greets;
        impl kernel::Module for Greets {
            fn init(_module: &'static ThisModule) -> Result<Self> {
                pr_info!("hello from {}\n", KVec::from_elem(7u8, 3, GFP_KERNEL)?.len());
                Ok(Self)
            }
        }"#;
    fs::write(folder.join("lab_greets.rs"), source).unwrap();
    for flavour in FLAVOURS {
        let script = "modprobe lab_greets && rmmod lab_greets && dmesg";
        let command = ["--build", ".", "--", "sh", "-c", script];
        let output = output(
            &folder,
            &[&["vm", "--flavour", flavour], &command[..]].concat(),
        );
        assert!(output.status.success(), "{flavour}: {output:?}");
        let log = String::from_utf8_lossy(&output.stdout);
        assert!(log.contains("lab_greets: hello from 3"), "{flavour}: {log}");
    }
}
