// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Tests of real guests. They need root privileges and make the lab's cache if there is none, so
//! they run only on request: `cargo test -- --ignored`.

use std::fs;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::sync::Once;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use nix::pty::openpty;
use nix::pty::Winsize;

/// The flavours under test, which must all behave alike: one in QEMU, and one of User Mode Linux.
const FLAVOURS: [&str; 2] = ["stock", "uml-debug"];

fn lab(dir: &Path, arguments: &[&str]) -> Command {
    // Preparing a kernel takes longer than the tests' time limits, and labs that run at the same
    // time wait for it.
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        for flavour in FLAVOURS {
            let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
            command.args(["vm", "--flavour", flavour, "--", "true"]);
            let status = command.current_dir(dir).status().expect("lab must start");
            assert!(status.success(), "{flavour}: {status}");
        }
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.args(arguments).current_dir(dir);
    command
}

fn output(dir: &Path, arguments: &[&str]) -> Output {
    lab(dir, arguments).output().expect("lab must start")
}

/// Runs the lab with `arguments` and a guest of `flavour`.
fn vm(dir: &Path, flavour: &str, arguments: &[&str]) -> Output {
    output(dir, &[&["vm", "--flavour", flavour], arguments].concat())
}

/// Makes an empty directory for the test `name`.
fn directory(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir.canonicalize().unwrap()
}

#[test]
#[ignore = "boots a guest"]
fn a_command_runs_in_the_current_directory() {
    let dir = directory("command");
    let bytes: Vec<u8> = (0..200_000u32)
        .flat_map(|n| n.wrapping_mul(n).to_le_bytes())
        .collect();
    fs::write(dir.join("bytes"), &bytes).unwrap();
    fs::create_dir(dir.join("bin")).unwrap();
    let tool = dir.join("bin/tool");
    fs::write(&tool, "#!/bin/sh\ncat bytes\ncat >made\npwd >&2\nexit 42\n").unwrap();
    fs::set_permissions(&tool, PermissionsExt::from_mode(0o755)).unwrap();

    for flavour in FLAVOURS {
        let output = vm(&dir, flavour, &["--path", "bin", "--", "tool"]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(42), "{flavour}: {errors}");
        assert!(
            output.stdout == bytes,
            "{flavour}: the output is not the file's bytes"
        );
        assert!(
            errors.lines().any(|line| Path::new(line) == dir),
            "{flavour}: {errors}"
        );
        assert_eq!(fs::read(dir.join("made")).unwrap(), b"", "{flavour}");
        fs::remove_file(dir.join("made")).unwrap();
    }
}

#[test]
#[ignore = "boots a guest"]
fn the_guest_is_a_system() {
    let script = r#"
        set -e
        modprobe $MODULE && lsmod | grep -q ^$MODULE
        python3 -c 'import socket; socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)'
        ip link show lo | grep -q LOOPBACK,UP
        udevadm info /dev/$DEVICE | grep -q MAJOR
        setpriv --reuid 1000 --regid 1000 --clear-groups sh -c 'test $(id -u) = 1000; echo x > /tmp/x'
        echo x > /dev/stdout
        echo x > /etc/written-by-the-guest"#;
    let dir = directory("system");
    for (flavour, module, device) in [("stock", "dummy", "fuse"), ("uml-debug", "ecb", "null")] {
        let script = format!("MODULE={module} DEVICE={device}\n{script}");
        let first = vm(&dir, flavour, &["--", "sh", "-c", &script]);
        assert!(first.status.success(), "{flavour}: {first:?}");
        assert_eq!(first.stdout, b"x\n", "{flavour}");
        let gone = output(
            &dir,
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
    let dir = directory("crash");
    for flavour in FLAVOURS {
        let crash = "echo c > /proc/sysrq-trigger";
        let output = vm(&dir, flavour, &["--", "sh", "-c", crash]);
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
    let dir = directory("timeout");
    for flavour in FLAVOURS {
        let started = Instant::now();
        let output = vm(&dir, flavour, &["--timeout", "5", "--", "sleep", "1000"]);
        assert_eq!(output.status.code(), Some(124), "{flavour}: {output:?}");
        assert!(started.elapsed() < Duration::from_secs(60), "{flavour}");
    }
}

#[test]
#[ignore = "boots a guest"]
fn time_passes_with_instructions() {
    let dir = directory("icount");
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
    fs::write(dir.join("loop.c"), source).unwrap();
    let built = output(&dir, &["run", "gcc", "-o", "loop", "loop.c"]);
    assert!(built.status.success(), "{built:?}");

    let icount = ["--icount", "--append", "cryptomgr.notests", "--", "./loop"];
    let output = vm(&dir, "stock", &icount);
    assert!(output.status.success(), "{output:?}");
    let time: u64 = String::from_utf8_lossy(&output.stdout).parse().unwrap();
    // Two instructions per round, and interrupts.
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
                let is_vm = line.starts_with("qemu") || line.starts_with("/usr/src/linux-");
                is_vm && line.contains(&mark)
            })
        })
    };
    let wait_for = |wanted, flavour| {
        let started = Instant::now();
        while running() != wanted && started.elapsed() < Duration::from_secs(60) {
            sleep(Duration::from_millis(50));
        }
        assert_eq!(
            running(),
            wanted,
            "{flavour}: whether the virtual machine runs"
        );
    };
    let mounts = || fs::read_to_string("/proc/mounts").unwrap();
    let before = mounts();
    for flavour in FLAVOURS {
        let append = ["--append", &mark, "--", "sleep", "1000"];
        let mut child = lab(
            &directory("killed"),
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
            &directory("shell"),
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
    let dir = directory("module");
    fs::write(dir.join("Kbuild"), "obj-m := lab_greets.o\n").unwrap();
    let source = r#"
        //! Logs a greeting.
        use kernel::prelude::*;
        module! {
            type: Greets,
            name: "lab_greets",
            authors: ["lab"],
            description: "Logs a greeting",
            license: "GPL",
        }
        struct Greets;
        impl kernel::Module for Greets {
            fn init(_module: &'static ThisModule) -> Result<Self> {
                pr_info!("hello from {}\n", KVec::from_elem(7u8, 3, GFP_KERNEL)?.len());
                Ok(Self)
            }
        }"#;
    fs::write(dir.join("lab_greets.rs"), source).unwrap();
    for flavour in FLAVOURS {
        let script = "modprobe lab_greets && rmmod lab_greets && dmesg";
        let output = vm(&dir, flavour, &["--build", ".", "--", "sh", "-c", script]);
        assert!(output.status.success(), "{flavour}: {output:?}");
        let log = String::from_utf8_lossy(&output.stdout);
        assert!(log.contains("lab_greets: hello from 3"), "{flavour}: {log}");
    }
}
