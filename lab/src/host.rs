// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the lab needs from the host: root privileges, and the packages that make the root.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use anyhow::anyhow;
use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use nix::unistd::getgid;
use nix::unistd::getuid;

/// The packages that make a Debian root, each with a file that shows that it is installed.
const NEEDED: [(&str, &str); 2] = [
    ("mmdebstrap", "/usr/bin/mmdebstrap"),
    (
        "debian-archive-keyring",
        "/usr/share/keyrings/debian-archive-keyring.gpg",
    ),
];

const APT_INSTALL: &str = include_str!("../scripts/apt-install.sh");

/// Replaces this process by the same command under sudo, unless it runs as root. The cache
/// directory and the caller are passed as arguments, because sudo clears the environment.
pub fn become_root(cache: &Path) -> Result<()> {
    if getuid().is_root() {
        return Ok(());
    }
    let mut command = Command::new("sudo");
    command
        .arg("--preserve-env=http_proxy,https_proxy,no_proxy,TERM")
        .arg("--")
        .arg(std::env::current_exe()?)
        .arg("--cache")
        .arg(cache)
        .arg("--caller")
        .arg(format!("{}:{}", getuid(), getgid()))
        .args(std::env::args_os().skip(1).collect::<Vec<OsString>>());
    let error = command.exec();
    Err(anyhow!(
        "the lab must run as root, and sudo does not run ({error}): install sudo or run as root"
    ))
}

/// Installs with apt the packages that are missing on the host.
pub fn ensure_packages() -> Result<()> {
    let missing: Vec<_> = NEEDED
        .iter()
        .filter(|(_, file)| !Path::new(file).exists())
        .map(|(package, _)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!(
            "missing on this host: {}: install with your package manager",
            missing.join(", ")
        );
    }
    let missing = missing.join(" ");
    eprintln!("lab: installing on this host: {missing}");
    let status = apt_install(missing.split(' ')).status()?;
    if !status.success() {
        bail!("cannot install on this host: {missing}");
    }
    Ok(())
}

/// Returns a command that installs packages on the host. It prints errors, and that it waits for a
/// lock.
fn apt_install<'a>(packages: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", APT_INSTALL, "apt-install.sh"])
        .args(packages)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// Returns apt's lines for `suite` in the archives that the host uses. There are none if the host
/// is not Debian, or has not downloaded its package index.
pub fn apt_lines(suite: &str) -> Result<Vec<String>> {
    let output = Command::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(LABEL)|$(REPO_URI)",
            "Created-By: Packages",
        ])
        .output()
        .context("cannot run apt-get")?;
    Ok(lines_of(&String::from_utf8_lossy(&output.stdout), suite))
}

/// Makes apt's lines from `LABEL|URI` pairs. The first pair of each label counts.
fn lines_of(targets: &str, suite: &str) -> Vec<String> {
    let uri = |wanted: &str| {
        targets
            .lines()
            .filter_map(|line| line.split_once('|'))
            .find_map(|(label, uri)| (label == wanted).then_some(uri))
    };
    let Some(debian) = uri("Debian") else {
        return Vec::new();
    };
    let mut lines = vec![
        format!("deb {debian} {suite} main"),
        format!("deb {debian} {suite}-updates main"),
    ];
    lines.extend(uri("Debian-Security").map(|uri| format!("deb {uri} {suite}-security main")));
    lines
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::fs::File;
    use std::io::BufRead;
    use std::io::BufReader;

    use nix::fcntl::fcntl;
    use nix::fcntl::FcntlArg;
    use nix::libc;
    use tempfile::TempDir;

    use super::*;

    const LOCKS: [&str; 2] = ["var/lib/apt/lists/lock", "var/lib/dpkg/lock-frontend"];

    /// Returns a directory for apt, in which nothing is installed or offered.
    fn apt_directory() -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "etc/apt",
            "var/lib/apt/lists",
            "var/lib/dpkg",
            "var/cache/apt/archives",
        ] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let status = dir.path().join("var/lib/dpkg/status");
        fs::write(&status, "").unwrap();
        let config = format!(
            "Dir \"{}\";\nDir::State::status \"{}\";\n",
            dir.path().display(),
            status.display()
        );
        fs::write(dir.path().join("apt.conf"), config).unwrap();
        dir
    }

    /// Holds a lock as apt does, until the file is closed.
    fn hold(lock: &Path) -> File {
        let file = File::create(lock).unwrap();
        let range = libc::flock {
            l_type: libc::F_WRLCK as _,
            l_whence: libc::SEEK_SET as _,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        fcntl(&file, FcntlArg::F_SETLK(&range)).unwrap();
        file
    }

    /// Installs nothing with apt in `dir`. Calls `when_waiting` after the first message. Returns
    /// the messages, and whether installing succeeded.
    fn install(dir: &Path, limit: &str, when_waiting: impl FnOnce()) -> (Vec<String>, bool) {
        let mut child = apt_install([])
            .env("APT_CONFIG", dir.join("apt.conf"))
            .env("APT_WAIT", limit)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map_while(Result::ok)
            // apt warns about configuration files that do not exist.
            .filter(|line| !line.starts_with("W: "));
        let mut seen = Vec::from_iter(lines.next());
        when_waiting();
        seen.extend(lines);
        (seen, child.wait().unwrap().success())
    }

    #[test]
    fn installing_waits_for_another_apt() {
        for lock in LOCKS {
            let dir = apt_directory();
            let lock = dir.path().join(lock);
            let held = hold(&lock);
            let (seen, success) = install(dir.path(), "60", || drop(held));
            let holder = format!(
                "{} is held by process {}",
                lock.display(),
                std::process::id()
            );
            assert!(success && seen.len() == 1, "{seen:?}");
            assert!(
                seen[0].contains(&holder) && seen[0].contains("waiting"),
                "{seen:?}"
            );
        }
    }

    #[test]
    fn installing_gives_up_at_the_limit() {
        let dir = apt_directory();
        let lock = dir.path().join(LOCKS[0]);
        let _held = hold(&lock);
        let (seen, success) = install(dir.path(), "2", || ());
        let holder = format!("held by process {}", std::process::id());
        assert!(!success && seen.len() == 2, "{seen:?}");
        assert!(
            seen[1].contains(&holder) && seen[1].contains("giving up"),
            "{seen:?}"
        );
    }

    #[test]
    fn archives_are_those_of_the_host() {
        let targets = "Other|http://other/\nDebian-Security|http://mirror/security/\n\
                       Debian|http://mirror/debian/\nDebian|http://second/\n";
        assert_eq!(
            lines_of(targets, "trixie"),
            [
                "deb http://mirror/debian/ trixie main",
                "deb http://mirror/debian/ trixie-updates main",
                "deb http://mirror/security/ trixie-security main",
            ]
        );
        assert!(lines_of("Ubuntu|http://mirror/ubuntu/\n", "trixie").is_empty());
        assert!(lines_of("", "trixie").is_empty());
    }
}
