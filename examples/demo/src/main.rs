// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Shows the module at work, as a terminal transcript. Every interface and every backend gets the
//! same file.
//!
//! Runs as root in a virtual machine in which the module is installed and not loaded. The output
//! ends with `demo: OK` if every command did what it should and all checksums match zlib's.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use clap::Parser;

/// Show the module at work.
#[derive(Parser)]
struct Arguments {
    /// The file to checksum
    file: PathBuf,
}

/// What a command must do.
enum Expected {
    /// Succeed.
    Success,
    /// Succeed and print the checksum of the file. The text is its name in the summary.
    Checksum(&'static str),
    /// Print these words.
    Words(&'static [&'static str]),
}

use Expected::Checksum;
use Expected::Success;
use Expected::Words;

/// The title of a chapter, and its commands.
type Chapter = (&'static str, &'static [(&'static str, Expected)]);

const MODULE: Chapter = (
    "The module, as installed",
    &[
        ("uname -sr", Success),
        ("modinfo adler32", Success),
        ("modprobe adler32", Success),
        ("dmesg | grep adler32:", Success),
        ("ls -l /dev/adler32", Words(&["crw-rw-rw-"])),
    ],
);

const DEVICE: Chapter = (
    "The device: a file with a checksum for each user",
    &[
        ("ls -lL $FILE", Success),
        (
            "cat $FILE > /dev/adler32; cat /dev/adler32",
            Checksum("write to the device"),
        ),
        (
            "head -c 1000 $FILE > /dev/adler32\n\
             tail -c +1001 $FILE >> /dev/adler32; cat /dev/adler32",
            Checksum("append to it"),
        ),
        (
            "exec 3<>/dev/adler32; cat $FILE >&3; read sum <&3; echo $sum\n\
             grep adler32 /proc/self/fdinfo/3",
            Checksum("private to a file descriptor"),
        ),
    ],
);

const RESTRICTION: Chapter = (
    "This kernel restricts AF_ALG until the administrator allows it",
    &[
        ("adler32 info", Words(&["crypto.af_alg_restrict=0"])),
        ("sysctl crypto.af_alg_restrict", Success),
        ("sysctl crypto.af_alg_restrict=0", Success),
    ],
);

const AF_ALG: Chapter = (
    "The hash of the kernel's crypto API, through AF_ALG sockets",
    &[
        (
            "grep -A 9 'name.*adler32' /proc/crypto",
            Words(&["adler32-rust"]),
        ),
        (
            r#"python3 - $FILE <<'END'
import socket, sys
with socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET) as algorithm:
    algorithm.bind(("hash", "adler32"))
    operation, _ = algorithm.accept()
    with operation, open(sys.argv[1], "rb") as file:
        while data := file.read(1 << 20):
            operation.sendall(data, socket.MSG_MORE)
        print(operation.recv(4).hex())
END"#,
            Checksum("Python over AF_ALG"),
        ),
        (
            "kcapi-dgst -c adler32 --hex -i $FILE",
            Checksum("kcapi-dgst over AF_ALG"),
        ),
    ],
);

const COMMAND: Chapter = (
    "The command adler32, with every backend",
    &[
        ("adler32 info", Success),
        (
            "adler32 sum --via device $FILE",
            Checksum("adler32 sum, device by write"),
        ),
        (
            "adler32 sum --via ioctl $FILE",
            Checksum("adler32 sum, device by ioctl"),
        ),
        (
            "adler32 sum --via afalg $FILE",
            Checksum("adler32 sum, AF_ALG"),
        ),
        // Without AF_ALG, another backend would have computed the checksum.
        (
            "adler32 sum --via afalg --debug $FILE",
            Words(&["used: afalg"]),
        ),
        (
            "adler32 sum --via cpu $FILE",
            Checksum("adler32 sum, without the kernel"),
        ),
    ],
);

const ZLIB: Chapter = (
    "zlib",
    &[(
        r#"python3 -c '
import sys, zlib
print("%08x" % zlib.adler32(open(sys.argv[1], "rb").read()))' $FILE"#,
        Checksum("zlib"),
    )],
);

const REMOVAL: Chapter = (
    "The module cannot be removed while a program uses it",
    &[
        (
            "exec 3<>/dev/adler32; rmmod adler32; grep adler32 /proc/modules",
            Words(&["in use", "Live"]),
        ),
        ("rmmod adler32; ls /dev/adler32", Words(&["No such file"])),
    ],
);

fn main() -> Result<ExitCode> {
    let file = Arguments::parse().file;
    ensure!(file.is_file(), "{} is not a file", file.display());

    let mut chapters = vec![MODULE, DEVICE, AF_ALG, COMMAND, ZLIB, REMOVAL];
    if restricts_af_alg()? {
        chapters.insert(2, RESTRICTION);
    }
    println!("# FILE={}", file.display());
    let mut checksums = Vec::new();
    let mut failures = Vec::new();
    for (title, commands) in chapters {
        println!("\n==== {title} ====");
        for (command, expected) in commands {
            println!("\n# {}", command.replace('\n', "\n> "));
            let (success, output) = run(command, &file)?;
            if !output.is_empty() {
                println!("{}", output.trim_end());
            }
            let fulfilled = match expected {
                Success => success,
                Words(words) => words.iter().all(|word| output.contains(word)),
                Checksum(name) => {
                    checksums.push((name, checksum_in(&output)));
                    success
                }
            };
            if !fulfilled {
                failures.push(format!("`{command}` failed or printed something else"));
            }
        }
    }

    println!("\n==== All checksums ====\n");
    let (_, right) = checksums
        .last()
        .cloned()
        .context("no command printed a checksum")?;
    for (name, checksum) in checksums {
        let shown = checksum.as_deref().unwrap_or("none");
        println!("{name:<34}{shown}");
        if checksum.is_none() || checksum != right {
            failures.push(format!("{name}: {shown} does not match zlib's checksum"));
        }
    }
    println!();
    for failure in &failures {
        println!("demo: {failure}");
    }
    if !failures.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    println!("demo: OK");
    Ok(ExitCode::SUCCESS)
}

/// Returns whether the kernel can restrict AF_ALG.
fn restricts_af_alg() -> Result<bool> {
    // The sysctl appears with the module.
    adler32_tests::output(Command::new("modprobe").arg("af_alg"))?;
    Ok(Path::new("/proc/sys/crypto/af_alg_restrict").exists())
}

/// Runs a command line and returns whether it succeeded, and its output.
fn run(command: &str, file: &Path) -> Result<(bool, String)> {
    let output = Command::new("bash")
        // With these settings, the commands shown need no quotes for names with spaces.
        .args(["-c", &format!("exec 2>&1; set -f; IFS=\n{command}")])
        .env("FILE", file)
        .stdin(Stdio::null())
        .output()
        .context("cannot run bash")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok((output.status.success(), text))
}

/// Returns the first word that looks like a checksum.
fn checksum_in(output: &str) -> Option<String> {
    output
        .split_whitespace()
        .find(|word| word.len() == 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .map(str::to_owned)
}
