// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The headers of a kernel as its distribution packages them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context, Result};

/// The headers of one kernel, which has Rust.
#[derive(Debug)]
pub struct Headers {
    /// What `uname -r` says in the kernel.
    pub release: String,
    /// The folder that modules are built against.
    pub dir: PathBuf,
    /// The kernel's configuration.
    pub config: String,
}

impl Headers {
    /// The headers of the kernel called `release`.
    pub fn open(release: &str) -> Result<Self> {
        if release.is_empty() || release.contains(['/', '\0']) || release.starts_with('.') {
            bail!("`{release}` is no kernel: say what `uname -r` says in it");
        }
        let link = Path::new("/lib/modules").join(release).join("build");
        let dir = link.canonicalize().with_context(|| {
            format!(
                "no {}: install the kernel's headers (apt install linux-headers-{release})",
                link.display()
            )
        })?;
        let config = dir.join(".config");
        let config = fs::read_to_string(&config)
            .with_context(|| format!("cannot read {}", config.display()))?;
        if value(&config, "CONFIG_RUST") != Some("y") {
            bail!("the kernel {release} is built without Rust (CONFIG_RUST), so no Rust module can be built for it");
        }
        Ok(Self {
            release: release.to_owned(),
            dir,
            config,
        })
    }

    /// Whether Rust modules can be built against the folder as it is.
    pub fn have_metadata(&self) -> bool {
        self.dir.join("rust/libkernel.rmeta").exists()
    }

    /// The compiler that the kernel was built with.
    pub fn compiler(&self) -> Option<&str> {
        value(&self.config, "CONFIG_CC_VERSION_TEXT")?
            .split_whitespace()
            .next()
    }

    /// What `rustc --version` said when the kernel was built.
    pub fn rustc(&self) -> &str {
        value(&self.config, "CONFIG_RUSTC_VERSION_TEXT").unwrap_or("unknown")
    }

    /// The series that the kernel is of, such as `7.3`: there is one package of sources for each.
    pub fn series(&self) -> &str {
        series(&self.release)
    }

    /// The exported symbols of the kernel and its modules.
    pub fn symvers(&self) -> Result<String> {
        let path = self.dir.join("Module.symvers");
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}

/// `7.3` of `7.3.4+deb13-amd64`.
fn series(release: &str) -> &str {
    release
        .match_indices(|character: char| !character.is_ascii_digit())
        .nth(1)
        .map_or(release, |(end, _)| &release[..end])
}

/// The value of `name` in a kernel configuration, without its quotes.
pub fn value<'a>(config: &'a str, name: &str) -> Option<&'a str> {
    config
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .map(|value| value.trim_matches('"'))
}

/// What `program` prints when asked for its version; `None` if it cannot be run.
pub fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Some(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_values() {
        let config = "CONFIG_A=y\nCONFIG_CC_VERSION_TEXT=\"gcc-14 (Debian) 14.2\"\n";
        assert_eq!(
            value(config, "CONFIG_CC_VERSION_TEXT"),
            Some("gcc-14 (Debian) 14.2")
        );
        assert_eq!(value(config, "CONFIG_CC"), None);
    }

    #[test]
    fn series_of_releases() {
        for release in ["7.3.4+deb13-amd64", "7.3-amd64", "7.3+deb14-amd64", "7.3"] {
            assert_eq!(series(release), "7.3", "{release}");
        }
    }

    #[test]
    fn a_release_is_not_a_path() {
        for release in ["", ".", "..", "../../etc", "a/b"] {
            let error = Headers::open(release).unwrap_err().to_string();
            assert!(error.contains("is no kernel"), "{error}");
        }
    }

    #[test]
    fn missing_headers_are_named() {
        let error = Headers::open("7.3.4+none").unwrap_err().to_string();
        assert!(
            error.contains("apt install linux-headers-7.3.4+none"),
            "{error}"
        );
    }
}
