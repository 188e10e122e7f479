// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The headers of a kernel, as its distribution packages them.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;

/// The headers of one kernel with `CONFIG_RUST`.
#[derive(Debug)]
pub struct Headers {
    /// The kernel's release, as `uname -r` prints it.
    pub release: String,
    /// The directory that C modules are built against.
    pub dir: PathBuf,
    /// The kernel's configuration.
    pub config: String,
}

impl Headers {
    /// Finds the headers of the kernel `release`.
    pub fn open(release: &str) -> Result<Self> {
        if release.is_empty() || release.contains(['/', '\0']) || release.starts_with('.') {
            bail!("`{release}` is no kernel release: `uname -r` prints the running kernel's");
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

    /// Returns whether Rust modules can be built against the headers as they are.
    pub fn have_metadata(&self) -> bool {
        self.dir.join("rust/libkernel.rmeta").exists()
    }

    /// Returns the C compiler that built the kernel.
    pub fn compiler(&self) -> Option<&str> {
        value(&self.config, "CONFIG_CC_VERSION_TEXT")?
            .split_whitespace()
            .next()
    }

    /// Returns whether the kernel is one of arm64. Otherwise it is one of x86-64.
    pub fn is_arm64(&self) -> bool {
        value(&self.config, "CONFIG_ARM64") == Some("y")
    }

    /// Returns the variables that make needs to build for another architecture than this program's.
    pub fn cross(&self) -> Vec<String> {
        if self.is_arm64() == cfg!(target_arch = "aarch64") {
            return Vec::new();
        }
        let architecture = if self.is_arm64() { "arm64" } else { "x86_64" };
        let compiler = self.compiler().unwrap_or_default();
        let prefix = compiler.find("gcc").map_or("", |end| &compiler[..end]);
        vec![
            format!("ARCH={architecture}"),
            format!("CROSS_COMPILE={prefix}"),
        ]
    }

    /// Returns what `rustc --version` printed when the kernel was built.
    pub fn rustc(&self) -> &str {
        value(&self.config, "CONFIG_RUSTC_VERSION_TEXT").unwrap_or("unknown")
    }

    /// Returns the kernel's series, such as `7.3`. Each series has one linux-source package.
    pub fn series(&self) -> &str {
        series(&self.release)
    }

    /// Reads the list of symbols that the kernel and its modules export.
    pub fn symvers(&self) -> Result<String> {
        let path = self.dir.join("Module.symvers");
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}

/// Returns `7.3` for `7.3.4+deb13-amd64`.
fn series(release: &str) -> &str {
    release
        .match_indices(|character: char| !character.is_ascii_digit())
        .nth(1)
        .map_or(release, |(end, _)| &release[..end])
}

/// Returns the value of `name` in a kernel configuration, without quotes.
pub fn value<'a>(config: &'a str, name: &str) -> Option<&'a str> {
    config
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .map(|value| value.trim_matches('"'))
}

/// Returns the first line that `program --version` prints, or `None` if `program` cannot be run.
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
    fn foreign_kernels_are_built_across() {
        let variables = |config: &str| {
            let headers = Headers {
                release: String::new(),
                dir: PathBuf::new(),
                config: config.to_owned(),
            };
            headers.cross().join(" ")
        };
        let kernels = [
            variables("CONFIG_ARM64=y\nCONFIG_CC_VERSION_TEXT=\"aarch64-linux-gnu-gcc-14 (x)\"\n"),
            variables("CONFIG_X86_64=y\nCONFIG_CC_VERSION_TEXT=\"x86_64-linux-gnu-gcc-14 (x)\"\n"),
        ];
        let expected = if cfg!(target_arch = "aarch64") {
            ["", "ARCH=x86_64 CROSS_COMPILE=x86_64-linux-gnu-"]
        } else {
            ["ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-", ""]
        };
        assert_eq!(kernels, expected);
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
            assert!(error.contains("is no kernel release"), "{error}");
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
