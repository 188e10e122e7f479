// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The flavours of a kernel: as Debian built it, and others that are built here from its sources.

use std::fs;
use std::path::Path;

use anyhow::{bail, Context, Result};
use clap::ValueEnum;
use rust_kernel_kit::{archive, progress, remove_folder};

use crate::cache::Cache;
use crate::kernel::{Kernel, Series};
use crate::root::{Root, STAMPS};
use crate::{sources, stock};

/// A flavour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Flavour {
    /// As Debian built it, in QEMU
    Stock,
    /// With detectors of what modules do wrong, in QEMU
    Debug,
    /// User Mode Linux: the kernel is a program, and runs at the processor's own speed
    Uml,
    /// User Mode Linux with the detectors
    UmlDebug,
}

/// How a flavour is built.
#[derive(Debug)]
struct Recipe {
    /// What follows the version in the kernel's release.
    name: &'static str,
    /// What is set in its configuration; all else is not.
    config: &'static [Fragment],
    /// Packages that it is built with, besides those of every root.
    packages: &'static [&'static str],
    /// Arguments for make, for the kernel and for modules.
    make: &'static [&'static str],
    /// More arguments for make, for modules.
    modules: &'static [&'static str],
    /// The kernel, in the build folder.
    image: &'static str,
}

/// A part of a configuration.
#[derive(Debug)]
struct Fragment {
    /// The series that it is for, if not for all.
    only: Option<Series>,
    settings: &'static str,
}

impl Fragment {
    const fn all(settings: &'static str) -> Self {
        Self {
            only: None,
            settings,
        }
    }
}

const BASE: Fragment = Fragment::all(include_str!("../flavours/base.config"));
const BASE_7_2: Fragment = Fragment {
    only: Some(Series(7, 2)),
    settings: include_str!("../flavours/base-7.2.config"),
};
const X86_64: Fragment = Fragment::all(include_str!("../flavours/x86-64.config"));
const USER_MODE: Fragment = Fragment::all(include_str!("../flavours/uml.config"));
/// With KASAN, User Mode Linux can only be linked dynamically.
const STATIC: Fragment = Fragment::all("CONFIG_STATIC_LINK=y\n");
const DETECTORS: Fragment = Fragment::all(include_str!("../flavours/debug.config"));

/// Clang, because the kernel's Rust code and KASAN go together with it only.
const LLVM: &[&str] = &["clang", "lld", "llvm"];

/// UML's module loader does not know the relocations that position-independent code needs, and its
/// modules are far from the kernel.
const UML_RUST: &str = "RUSTFLAGS_MODULE=-Crelocation-model=static -Ccode-model=large";

const DEBUG: Recipe = Recipe {
    name: "debug",
    config: &[BASE, BASE_7_2, X86_64, DETECTORS],
    packages: LLVM,
    make: &["LLVM=1"],
    modules: &[],
    image: "arch/x86/boot/bzImage",
};

const UML: Recipe = Recipe {
    name: "uml",
    config: &[BASE, BASE_7_2, USER_MODE, STATIC],
    packages: &[],
    make: &["ARCH=um"],
    modules: &[UML_RUST],
    image: "linux",
};

const UML_DEBUG: Recipe = Recipe {
    name: "uml-debug",
    config: &[BASE, BASE_7_2, USER_MODE, DETECTORS],
    packages: LLVM,
    make: &[
        "ARCH=um",
        "LLVM=1",
        // No data is put out of reach of the kernel's code, and Clang does not complain of options
        // for the linker.
        "KCFLAGS=-mlarge-data-threshold=2147483647 -Wno-unused-command-line-argument",
    ],
    modules: &[
        UML_RUST,
        // Clang takes offence at a header of the kernel.
        "CFLAGS_MODULE=-Wno-null-pointer-arithmetic",
    ],
    image: "linux",
};

impl Recipe {
    /// What is set in the configuration of `kernel`.
    fn config(&self, kernel: &Kernel) -> String {
        let name = format!("CONFIG_LOCALVERSION=\"-{}\"\n", self.name);
        self.config
            .iter()
            .filter(|fragment| fragment.only.is_none_or(|series| series == kernel.series))
            .map(|fragment| fragment.settings)
            .fold(name, |config, settings| config + settings)
    }
}

/// What is not needed of the sources. Their Kconfig files are.
const EXCLUDED: &[&str] = &[
    "Documentation/*.rst",
    "arch/[!ux]*/*.[chS]",
    "drivers/gpu/*.[ch]",
    "drivers/media/*.[ch]",
    "drivers/net/*/*.[ch]",
    "drivers/staging/*.[ch]",
    "sound/*.[ch]",
    "tools/testing",
];

/// Leaves in the folder with `source` and `build` what module builds need, and the kernel.
const PRUNE: &str = "\
    find source -mindepth 1 -maxdepth 1 \
        ! -name Makefile ! -name .clippy.toml ! -name arch ! -name include ! -name scripts \
        -exec rm -r {} +
    find source/arch -type f ! -name '*.h' ! -name 'Makefile*' ! -name Kbuild -delete
    find build -mindepth 1 -maxdepth 1 \
        ! -name Makefile ! -name .config ! -name Module.symvers ! -name source \
        ! -name arch ! -name include ! -name rust ! -name scripts ! -name tools ! -name linux \
        -exec rm -r {} +
    find build/rust -type f ! -name '*.rmeta' ! -name '*.so' -delete
    find build -type f '(' -name '*.o' -o -name '*.a' -o -name '*.cmd' ')' -delete
    find source build -type d -empty -delete";

/// A kernel in one of its flavours.
#[derive(Clone, Debug)]
pub struct Target {
    pub flavour: Flavour,
    /// What `uname -r` says in it.
    pub release: String,
}

impl Target {
    pub fn new(kernel: &Kernel, flavour: Flavour) -> Self {
        let release = match flavour.recipe() {
            None => kernel.release.clone(),
            Some(recipe) => format!("{}-{}", kernel.upstream(), recipe.name),
        };
        Self { flavour, release }
    }

    /// Arguments for make when it builds a module for this kernel.
    pub fn module_arguments(&self) -> impl Iterator<Item = &'static str> {
        let (make, modules) = self
            .flavour
            .recipe()
            .map_or((&[][..], &[][..]), |recipe| (recipe.make, recipe.modules));
        make.iter().chain(modules).copied()
    }

    /// The folder that modules for this kernel are built against, in `root`.
    pub fn module_folder(&self, root: &Root) -> Result<String> {
        match self.flavour.recipe() {
            None => stock::folder(root, &self.release)
                .with_context(|| format!("the kernel {} is not ready", self.release)),
            Some(_) => Ok(format!("/lib/modules/{}/build", self.release)),
        }
    }

    /// The folder of a kernel that was built here, in the root.
    fn folder(&self) -> String {
        format!("/usr/src/linux-{}", self.release)
    }

    /// The kernel, in the root: what QEMU loads, or the program that User Mode Linux is.
    pub fn image(&self) -> String {
        match self.flavour.recipe() {
            None => format!("/usr/lib/modules/{}/vmlinuz", self.release),
            Some(recipe) => format!("{}/build/{}", self.folder(), recipe.image),
        }
    }
}

impl Flavour {
    fn recipe(self) -> Option<&'static Recipe> {
        match self {
            Self::Stock => None,
            Self::Debug => Some(&DEBUG),
            Self::Uml => Some(&UML),
            Self::UmlDebug => Some(&UML_DEBUG),
        }
    }

    /// The size of a guest's memory in MiB, if not told.
    pub fn memory(self) -> u32 {
        match self {
            Self::Stock => 1024,
            Self::Debug => 2048,
            Self::Uml => 256,
            Self::UmlDebug => 512,
        }
    }

    /// Words for the kernel's command line. Those of debug kernels show the reports of kmemleak, which
    /// are mere information to the kernel; have the allocator keep no objects in reserve, as kmemleak
    /// takes those for used; and turn on the checks of copies to and from programs.
    pub fn words(self) -> &'static str {
        match self {
            Self::Stock | Self::Uml => "loglevel=6",
            Self::Debug | Self::UmlDebug => "loglevel=7 slab_debug=U hardened_usercopy=on",
        }
    }

    /// Whether it is User Mode Linux.
    pub fn is_uml(self) -> bool {
        matches!(self, Self::Uml | Self::UmlDebug)
    }
}

/// The releases of the kernels that were built here.
pub fn built(root: &Root) -> Result<Vec<String>> {
    let Ok(stamps) = fs::read_dir(root.join(STAMPS).join("flavours")) else {
        return Ok(Vec::new());
    };
    let mut releases = stamps
        .map(|stamp| Ok(stamp?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>>>()?;
    releases.sort();
    Ok(releases)
}

/// Whether `kernel` is ready in `flavour`.
pub fn is_ready(root: &Root, kernel: &Kernel, flavour: Flavour) -> bool {
    let target = Target::new(kernel, flavour);
    match flavour.recipe() {
        None => stock::folder(root, &kernel.release).is_some(),
        Some(recipe) => fs::read_to_string(root.join(STAMPS).join(stamp(&target)))
            .is_ok_and(|made_of| made_of == inputs(kernel, recipe)),
    }
}

/// Makes `kernel` ready in `flavour`, unless it is.
pub fn ensure(cache: &Cache, root: &Root, kernel: &Kernel, flavour: Flavour) -> Result<()> {
    if is_ready(root, kernel, flavour) {
        return Ok(());
    }
    let _lock = cache.lock()?;
    if is_ready(root, kernel, flavour) {
        return Ok(());
    }
    let target = Target::new(kernel, flavour);
    let Some(recipe) = flavour.recipe() else {
        return stock::prepare(root, kernel);
    };
    // What is built only in part is not to be taken for the whole.
    let stamp_file = root.join(STAMPS).join(stamp(&target));
    if stamp_file.exists() {
        fs::remove_file(&stamp_file)
            .with_context(|| format!("cannot remove {}", stamp_file.display()))?;
    }
    let modules = format!("usr/lib/modules/{}", target.release);
    for folder in [target.folder().trim_start_matches('/'), &modules] {
        remove_folder(&root.join(folder))?;
    }
    build(root, kernel, recipe, &target)?;
    root.write_stamp(&stamp(&target), &inputs(kernel, recipe))
}

fn stamp(target: &Target) -> String {
    format!("flavours/{}", target.release)
}

/// All that makes the kernel what it is.
fn inputs(kernel: &Kernel, recipe: &Recipe) -> String {
    let version = &kernel.package_version;
    let make = recipe.make;
    let config = recipe.config(kernel);
    format!("{version}\n{make:?}\n{EXCLUDED:?}\n{PRUNE}\n{config}")
}

fn build(root: &Root, kernel: &Kernel, recipe: &Recipe, target: &Target) -> Result<()> {
    let release = &target.release;
    if !recipe.packages.is_empty() {
        let packages = recipe.packages;
        root.install(&format!("install {}", packages.join(" ")), packages)?;
    }
    let folder = target.folder();
    let folder = Path::new(&folder);
    let build = folder.join("build");
    archive::unpack(
        &mut root.command("bash")?,
        &sources::kept(root, kernel)?,
        &folder.join("source"),
        EXCLUDED,
    )?;
    let build_host = root.join(build.strip_prefix("/")?);
    fs::create_dir_all(&build_host)?;
    let wanted = recipe.config(kernel);
    fs::write(build_host.join("fragment"), &wanted)?;
    let make = |arguments: &[&str]| -> Result<()> {
        progress::step(
            &format!("{release}: make {}", arguments.join(" ")),
            root.command_in(&folder.join("source"), "make", None)?
                .arg(format!("O={}", build.display()))
                .args(recipe.make)
                .args(arguments)
                .env("KCONFIG_ALLCONFIG", build.join("fragment")),
        )
    };
    make(&["allnoconfig"])?;
    let config = fs::read_to_string(build_host.join(".config"))?;
    let lacking: Vec<_> = lacking(&wanted, &config).collect();
    if !lacking.is_empty() {
        bail!(
            "{release} cannot be configured with {}: other options may be needed for that",
            lacking.join(", ")
        );
    }
    let jobs = std::thread::available_parallelism()?;
    make(&[&format!("-j{jobs}"), "all"])?;
    make(&["modules_install"])?;
    progress::step(
        &format!("{release}: keep what modules need"),
        root.command_in(folder, "sh", None)?.args(["-ec", PRUNE]),
    )
}

/// The settings of `fragment` that `config` does not have.
fn lacking<'a>(fragment: &'a str, config: &'a str) -> impl Iterator<Item = &'a str> {
    fragment
        .lines()
        .filter(|line| line.starts_with("CONFIG_"))
        .filter(|setting| !config.lines().any(|line| line == *setting))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lacking_settings_are_named() {
        let fragment = "# A comment\n\nCONFIG_A=y\nCONFIG_B=m\nCONFIG_C=\"c\"\n";
        let config = "CONFIG_AB=y\n# CONFIG_A is not set\nCONFIG_B=m\nCONFIG_C=\"c\"\n";
        let lacking: Vec<_> = lacking(fragment, config).collect();
        assert_eq!(lacking, ["CONFIG_A=y"]);
    }
}
