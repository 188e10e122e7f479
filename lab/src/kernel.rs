// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The stock kernels that exist, and the choice of one.

use std::fmt;
use std::fs;
use std::str::FromStr;

use anyhow::anyhow;
use anyhow::bail;
use anyhow::Result;
use rust_kernel_kit::command;

use crate::root::Root;
use crate::root::STAMPS;

/// The supported series, oldest first.
pub const SUPPORTED: [Series; 2] = [Series(7, 2), Series(7, 3)];

/// A series of kernels, such as 7.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series(pub u32, pub u32);

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Debian's flavours of a kernel, which differ in architecture and configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DebianFlavour {
    Amd64,
    CloudAmd64,
    RtAmd64,
    Arm64,
    Arm64With16kPages,
    CloudArm64,
    RtArm64,
}

impl DebianFlavour {
    pub const ALL: [Self; 7] = [
        Self::Amd64,
        Self::CloudAmd64,
        Self::RtAmd64,
        Self::Arm64,
        Self::Arm64With16kPages,
        Self::CloudArm64,
        Self::RtArm64,
    ];

    /// Returns Debian's name of the flavour, with which the kernel's release ends.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::CloudAmd64 => "cloud-amd64",
            Self::RtAmd64 => "rt-amd64",
            Self::Arm64 => "arm64",
            Self::Arm64With16kPages => "arm64-16k",
            Self::CloudArm64 => "cloud-arm64",
            Self::RtArm64 => "rt-arm64",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flavour| flavour.name() == name)
    }

    /// Returns whether the flavour is of arm64. The others are of amd64.
    pub fn is_arm64(self) -> bool {
        self >= Self::Arm64
    }
}

/// The kernel that the user names. The text is the series or the exact version, then Debian's
/// flavour after a hyphen unless it is `amd64`: `7.2`, `7.2.11`, `7.3-rt-amd64`. A release is also
/// understood: `7.3.4+deb13-rt-amd64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    series: Series,
    /// The last number of the version, or `None` for the newest kernel of the series.
    patch: Option<u32>,
    flavour: DebianFlavour,
}

impl Wanted {
    pub fn is_amd64(self) -> bool {
        self.flavour == DebianFlavour::Amd64
    }
}

impl FromStr for Wanted {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let supported = || SUPPORTED.map(|series| series.to_string()).join(" or ");
        let nonsense = || {
            let flavours = DebianFlavour::ALL.map(DebianFlavour::name).join(", ");
            anyhow!(
                "`{text}` is no kernel: use {} or an exact version x.y.z, \
                 and behind a hyphen one of Debian's flavours {flavours}",
                supported()
            )
        };
        let (version, flavour) = text.split_once('-').unwrap_or((text, "amd64"));
        let flavour = DebianFlavour::named(flavour).ok_or_else(nonsense)?;
        let (version, is_release) = match version.split_once("+deb") {
            Some((version, _)) => (version, true),
            None => (version, false),
        };
        let numbers: Vec<u32> = version
            .split('.')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|_| nonsense())?;
        let (series, patch) = match numbers[..] {
            [x, y] if !is_release => (Series(x, y), None),
            [x, y, z] => (Series(x, y), Some(z)),
            _ => return Err(nonsense()),
        };
        if !SUPPORTED.contains(&series) {
            bail!(
                "kernel {series} is not supported: use {} or an exact version x.y.z of these series",
                supported()
            );
        }
        Ok(Self {
            series,
            patch,
            flavour,
        })
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.series.to_string();
        if let Some(patch) = self.patch {
            text += &format!(".{patch}");
        }
        if !self.is_amd64() {
            text += &format!("-{}", self.flavour.name());
        }
        f.pad(&text)
    }
}

/// One stock kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    pub series: Series,
    patch: u32,
    pub flavour: DebianFlavour,
    /// The kernel's release, as `uname -r` prints it, such as `7.2.11+deb13-amd64`.
    pub release: String,
    /// The version of its Debian packages, such as `7.2.11-1~bpo13+1`.
    pub package_version: String,
}

impl Kernel {
    /// Makes a kernel from a release and the version of its packages. Returns `None` for a flavour
    /// or a series that is not supported.
    fn new(release: &str, package_version: &str) -> Option<Self> {
        let (upstream, debian) = release.split_once('+')?;
        let (_, flavour) = debian.split_once('-')?;
        let wanted: Wanted = format!("{upstream}-{flavour}").parse().ok()?;
        Some(Self {
            series: wanted.series,
            patch: wanted.patch?,
            flavour: wanted.flavour,
            release: release.to_owned(),
            package_version: package_version.to_owned(),
        })
    }

    /// Returns the version without Debian's additions, such as `7.2.11`.
    pub fn upstream(&self) -> String {
        format!("{}.{}", self.series, self.patch)
    }

    /// Returns the name of the package with this kernel's source. Each series has one package.
    pub fn source_package(&self) -> String {
        format!("linux-source-{}", self.series)
    }

    /// Returns the text that names exactly this kernel.
    fn name(&self) -> String {
        Wanted {
            series: self.series,
            patch: Some(self.patch),
            flavour: self.flavour,
        }
        .to_string()
    }

    fn is(&self, wanted: Wanted) -> bool {
        (self.series, self.flavour) == (wanted.series, wanted.flavour)
            && wanted.patch.is_none_or(|patch| self.patch == patch)
    }
}

/// The known kernels, oldest first.
pub struct Kernels {
    /// The kernels of which the package index offers both headers and source in the same version.
    pub offered: Vec<Kernel>,
    /// The kernels that are prepared in the root.
    pub prepared: Vec<Kernel>,
}

impl Kernels {
    /// Reads the package index in `root` and the stamps of prepared kernels.
    pub fn query(root: &Root) -> Result<Self> {
        let flavours = DebianFlavour::ALL.map(DebianFlavour::name);
        let mut headers = root.command("apt-cache")?;
        headers.args([
            "search",
            "--names-only",
            "--full",
            &format!(
                r"^linux-headers-[0-9.]+\+deb[0-9]+-({})$",
                flavours.join("|")
            ),
        ]);
        let mut source = root.command("apt-cache")?;
        source
            .arg("madison")
            .args(SUPPORTED.map(|series| format!("linux-source-{series}")));
        let mut prepared = Vec::new();
        if let Ok(stamps) = fs::read_dir(root.join(STAMPS).join("kernels")) {
            for stamp in stamps {
                let stamp = stamp?;
                let text = fs::read_to_string(stamp.path())?;
                prepared.extend(Kernel::new(
                    &stamp.file_name().to_string_lossy(),
                    text.lines().next().unwrap_or_default(),
                ));
            }
        }
        sort(&mut prepared);
        Ok(Self {
            offered: offered(
                &command::output(&mut headers)?,
                &command::output(&mut source)?,
            ),
            prepared,
        })
    }

    /// Returns the `wanted` kernel; by default, the newest supported one of the flavour `amd64`.
    pub fn choose(&self, wanted: Option<Wanted>) -> Result<&Kernel> {
        let Some(wanted) = wanted else {
            let mut offered = self.offered.iter();
            let newest = offered.rfind(|kernel| kernel.flavour == DebianFlavour::Amd64);
            return newest.ok_or_else(|| {
                anyhow!(
                    "the package index offers no supported kernel: {}",
                    self.overview(DebianFlavour::Amd64)
                )
            });
        };
        let prepared = || self.prepared.iter().find(|kernel| kernel.is(wanted));
        self.newest(wanted)
            .or_else(|| wanted.patch.and_then(|_| prepared()))
            .ok_or_else(|| {
                anyhow!(
                    "the package index does not offer kernel {wanted}, or no longer: {}",
                    self.overview(wanted.flavour)
                )
            })
    }

    /// Returns the newest offered kernel that is `wanted`.
    pub fn newest(&self, wanted: Wanted) -> Option<&Kernel> {
        self.offered.iter().rfind(|kernel| kernel.is(wanted))
    }

    fn overview(&self, flavour: DebianFlavour) -> String {
        let list = |kernels: &[Kernel]| {
            let names: Vec<_> = kernels
                .iter()
                .filter(|kernel| kernel.flavour == flavour)
                .map(Kernel::name)
                .collect();
            match names[..] {
                [] => "none".to_owned(),
                _ => names.join(", "),
            }
        };
        format!(
            "of {}, offered are {}; prepared are {}; `lab kernels --refresh` downloads the index again",
            flavour.name(),
            list(&self.offered),
            list(&self.prepared)
        )
    }
}

/// Returns the newest kernel of each supported series in `flavour`, oldest series first.
pub fn newest_of(flavour: DebianFlavour) -> impl Iterator<Item = Wanted> {
    SUPPORTED.into_iter().map(move |series| Wanted {
        series,
        patch: None,
        flavour,
    })
}

fn sort(kernels: &mut [Kernel]) {
    kernels.sort_by_key(|kernel| (kernel.series, kernel.patch, kernel.flavour));
}

/// Returns the supported kernels that `headers` (package records) and `source` (lines of `apt-cache
/// madison`) offer in the same version, oldest first.
fn offered(headers: &str, source: &str) -> Vec<Kernel> {
    let source_packages: Vec<(&str, &str)> = source
        .lines()
        .filter_map(|line| {
            let mut fields = line.split('|').map(str::trim);
            Some((fields.next()?, fields.next()?))
        })
        .collect();
    let mut kernels: Vec<_> = headers
        .split("\n\n")
        .filter_map(|record| {
            let field = |name: &str| record.lines().find_map(|line| line.strip_prefix(name));
            let release = field("Package: linux-headers-")?;
            Kernel::new(release, field("Version: ")?)
        })
        .filter(|kernel| {
            source_packages.contains(&(
                kernel.source_package().as_str(),
                kernel.package_version.as_str(),
            ))
        })
        .collect();
    // The index of another architecture is downloaded only when a kernel is prepared. Debian builds
    // all flavours of a version from one source.
    for kernel in kernels.clone() {
        let plain = kernel.release.strip_suffix("amd64");
        let plain = plain.filter(|_| kernel.flavour == DebianFlavour::Amd64);
        kernels.extend(DebianFlavour::ALL.into_iter().filter_map(|flavour| {
            let release = plain?.to_owned() + flavour.name();
            let foreign = Kernel::new(&release, &kernel.package_version);
            foreign.filter(|_| flavour.is_arm64())
        }));
    }
    sort(&mut kernels);
    kernels
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADERS: &str = "Package: linux-headers-7.2.9+deb13-amd64\nSource: linux\n\
        Version: 7.2.9-1~bpo13+1\n\n\
        Package: linux-headers-7.2.12+deb13-amd64\nVersion: 7.2.12-1~bpo13+1\n\n\
        Package: linux-headers-7.2.11+deb13-amd64\nVersion: 7.2.11-1~bpo13+1\n\n\
        Package: linux-headers-7.2.12+deb13-rt-amd64\nVersion: 7.2.12-1~bpo13+1\n\n\
        Package: linux-headers-6.12.9+deb13-amd64\nVersion: 6.12.9-1\n\n\
        Package: linux-headers-7.3.4+deb13-amd64\nVersion: 7.3.4-1~bpo13+1\n";
    const SOURCE: &str = "linux-source-7.2 | 7.2.12-1~bpo13+1 | http://mirror\n\
        linux-source-7.2 | 7.2.9-1~bpo13+1 | http://mirror\n\
        linux-source-7.3 | 7.3.4-1~bpo13+1 | http://mirror\n";

    fn kernels(headers: &str) -> Kernels {
        Kernels {
            offered: offered(headers, SOURCE),
            prepared: vec![Kernel::new("7.2.6+deb13-amd64", "7.2.6-1~bpo13+1").unwrap()],
        }
    }

    fn choose(kernels: &Kernels, wanted: Option<&str>) -> Result<String> {
        let wanted = wanted.map(str::parse).transpose()?;
        Ok(kernels.choose(wanted)?.name())
    }

    #[test]
    fn only_complete_supported_kernels_are_offered() {
        let offered: Vec<_> = kernels(HEADERS).offered.iter().map(Kernel::name).collect();
        assert_eq!(
            offered,
            [
                "7.2.9",
                "7.2.9-arm64",
                "7.2.9-arm64-16k",
                "7.2.9-cloud-arm64",
                "7.2.9-rt-arm64",
                "7.2.12",
                "7.2.12-rt-amd64",
                "7.2.12-arm64",
                "7.2.12-arm64-16k",
                "7.2.12-cloud-arm64",
                "7.2.12-rt-arm64",
                "7.3.4",
                "7.3.4-arm64",
                "7.3.4-arm64-16k",
                "7.3.4-cloud-arm64",
                "7.3.4-rt-arm64",
            ]
        );
    }

    #[test]
    fn the_newest_is_chosen_by_number() {
        let kernels = kernels(HEADERS);
        assert_eq!(choose(&kernels, None).unwrap(), "7.3.4");
        assert_eq!(choose(&kernels, Some("7.2")).unwrap(), "7.2.12");
        assert_eq!(choose(&kernels, Some("7.2.9")).unwrap(), "7.2.9");
    }

    #[test]
    fn a_prepared_kernel_outlives_the_index() {
        let kernels = kernels(HEADERS);
        assert_eq!(choose(&kernels, Some("7.2.6")).unwrap(), "7.2.6");
        assert!(choose(&kernels, Some("7.2.5")).is_err());
    }

    #[test]
    fn a_series_that_is_gone_is_an_error_and_not_the_default() {
        let without = HEADERS.replace("7.3.4", "7.4.1");
        let kernels = kernels(&without);
        assert_eq!(choose(&kernels, None).unwrap(), "7.2.12");
        let error = choose(&kernels, Some("7.3")).unwrap_err().to_string();
        assert!(error.contains("7.3") && error.contains("7.2.12"), "{error}");
        assert!(kernels.newest("7.3".parse().unwrap()).is_none());
    }

    #[test]
    fn a_flavour_is_chosen_only_by_its_name() {
        let kernels = kernels(HEADERS);
        for wanted in ["7.2-rt-amd64", "7.2.12-rt-amd64"] {
            assert_eq!(choose(&kernels, Some(wanted)).unwrap(), "7.2.12-rt-amd64");
        }
        assert_eq!(choose(&kernels, Some("7.2-amd64")).unwrap(), "7.2.12");
        for (wanted, offered) in [
            ("7.3-rt-amd64", "of rt-amd64, offered are 7.2.12-rt-amd64; "),
            ("7.2-cloud-amd64", "of cloud-amd64, offered are none; "),
            (
                "7.2.9-rt-amd64",
                "of rt-amd64, offered are 7.2.12-rt-amd64; ",
            ),
            ("7.2.10", "of amd64, offered are 7.2.9, 7.2.12, 7.3.4; "),
        ] {
            let error = choose(&kernels, Some(wanted)).unwrap_err().to_string();
            assert!(error.contains(&format!("kernel {wanted},")), "{error}");
            assert!(error.contains(offered), "{error}");
        }
    }

    #[test]
    fn a_release_is_chosen() {
        let kernels = kernels(HEADERS);
        for (release, name) in [
            ("7.2.9+deb13-amd64", "7.2.9"),
            ("7.2.12+deb13-rt-amd64", "7.2.12-rt-amd64"),
        ] {
            assert_eq!(choose(&kernels, Some(release)).unwrap(), name);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "7",
            "7.2.",
            "7.2.x",
            "6.12",
            "7.1.8",
            "7.2.1.1",
            "7.2-",
            "7.2+deb13-amd64",
            "7.2.12+rc1-amd64",
            "7.2-rt",
            "-rt-amd64",
        ] {
            let error = text.parse::<Wanted>().unwrap_err().to_string();
            assert!(error.contains("7.2 or 7.3 or an exact version"), "{error}");
        }
        let error = "7.3-rt".parse::<Wanted>().unwrap_err().to_string();
        for flavour in DebianFlavour::ALL {
            assert!(error.contains(flavour.name()), "{error}");
        }
    }
}
