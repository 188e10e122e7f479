// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The flavours of a kernel: as Debian built it, or built here from the same source.

use std::fs;
use std::path::Path;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use clap::ValueEnum;
use rust_kernel_kit::archive;
use rust_kernel_kit::command;
use rust_kernel_kit::owned;
use rust_kernel_kit::rustc;

use crate::cache::Cache;
use crate::kernel::Kernel;
use crate::kernel::Series;
use crate::root::Root;
use crate::root::STAMPS;
use crate::source;
use crate::stock;

/// A flavour of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Flavour {
    /// As Debian built it, in QEMU
    Stock,
    /// With detectors of a module's faults, in QEMU
    Debug,
    /// User Mode Linux: the kernel is a program, and runs at native speed
    Uml,
    /// User Mode Linux with the detectors
    UmlDebug,
    /// User Mode Linux with several processors
    UmlSmp,
    /// Without Rust, for systems in QEMU with systemd and an initial RAM disk
    NoRust,
}

/// How a flavour is built.
#[derive(Debug)]
struct Recipe {
    /// The end of the kernel's release, after the version.
    name: &'static str,
    /// The options that are set in the configuration.
    config: &'static [Fragment],
    /// Packages that the build needs in addition to those of every root.
    packages: &'static [&'static str],
    /// Arguments for make when it builds the kernel or a module.
    make: &'static [&'static str],
    /// Additional arguments for make when it builds a module.
    modules: &'static [&'static str],
    /// The path of the kernel image in the build directory.
    image: &'static str,
}

/// A part of a configuration.
#[derive(Debug)]
struct Fragment {
    /// The only series that the settings are for, or `None` if they are for all series.
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
const RUST: Fragment = Fragment::all("CONFIG_RUST=y\n");
const X86_64: Fragment = Fragment::all(include_str!("../flavours/x86-64.config"));
const USER_MODE: Fragment = Fragment::all(include_str!("../flavours/uml.config"));
/// With KASAN, User Mode Linux can only be linked dynamically.
const STATIC: Fragment = Fragment::all("CONFIG_STATIC_LINK=y\n");
const SMP: Fragment = Fragment::all("CONFIG_SMP=y\nCONFIG_NR_CPUS=8\n");
const DETECTORS: Fragment = Fragment::all(include_str!("../flavours/debug.config"));
const SYSTEMD: Fragment = Fragment::all(include_str!("../flavours/systemd.config"));

/// Clang, because KASAN in a kernel with Rust needs it.
const LLVM: &[&str] = &["clang", "lld", "llvm"];

/// An argument for make when it builds the kernel: no warnings. Clang spends an eighth of its time
/// on looking for them.
const NO_WARNINGS: &str = "CFLAGS_KERNEL=-w";

/// UML's module loader does not support the relocations of position-independent code, and UML's
/// modules are far from the kernel.
const UML_RUST: &str = "RUSTFLAGS_MODULE=-Crelocation-model=static -Ccode-model=large";

const DEBUG: Recipe = Recipe {
    name: "debug",
    config: &[BASE, BASE_7_2, RUST, X86_64, DETECTORS],
    packages: LLVM,
    make: &["LLVM=1"],
    modules: &[],
    image: "arch/x86/boot/bzImage",
};

const UML: Recipe = Recipe {
    name: "uml",
    config: &[BASE, BASE_7_2, RUST, USER_MODE, STATIC],
    packages: &[],
    make: &["ARCH=um"],
    modules: &[UML_RUST],
    image: "linux",
};

const UML_SMP: Recipe = Recipe {
    name: "uml-smp",
    config: &[BASE, BASE_7_2, RUST, USER_MODE, STATIC, SMP],
    ..UML
};

const UML_DEBUG: Recipe = Recipe {
    name: "uml-debug",
    config: &[BASE, BASE_7_2, RUST, USER_MODE, DETECTORS],
    packages: LLVM,
    make: &[
        "ARCH=um",
        "LLVM=1",
        // Keep data within reach of the kernel's code, and do not warn about linker options.
        "KCFLAGS=-mlarge-data-threshold=2147483647 -Wno-unused-command-line-argument",
    ],
    modules: &[
        UML_RUST,
        // Clang warns about a header of the kernel.
        "CFLAGS_MODULE=-Wno-null-pointer-arithmetic",
    ],
    image: "linux",
};

const NO_RUST: Recipe = Recipe {
    name: "no-rust",
    config: &[BASE, BASE_7_2, X86_64, SYSTEMD],
    packages: &[],
    make: &[],
    modules: &[],
    image: "arch/x86/boot/bzImage",
};

impl Recipe {
    /// Returns the options that are set in the configuration of `kernel`.
    fn config(&self, kernel: &Kernel) -> String {
        let name = format!("CONFIG_LOCALVERSION=\"-{}\"\n", self.name);
        self.config
            .iter()
            .filter(|fragment| fragment.only.is_none_or(|series| series == kernel.series))
            .map(|fragment| fragment.settings)
            .fold(name, |config, settings| config + settings)
    }
}

/// The parts of the source that only other architectures need.
const EXCLUDED: &[&str] = &["arch/[!ux]*/*.[chS]"];

/// Leaves only what module builds and guests need of a build.
const PRUNE: &str = include_str!("../scripts/prune-build.sh");

/// A kernel in one flavour.
#[derive(Clone, Debug)]
pub struct Variant {
    pub flavour: Flavour,
    /// The kernel's release, as `uname -r` prints it.
    pub release: String,
    pub is_arm64: bool,
}

impl Variant {
    pub fn new(kernel: &Kernel, flavour: Flavour) -> Self {
        let release = match flavour.recipe() {
            None => kernel.release.clone(),
            Some(recipe) => format!("{}-{}", kernel.upstream(), recipe.name),
        };
        Self {
            flavour,
            release,
            is_arm64: kernel.flavour.is_arm64(),
        }
    }

    /// Returns the arguments for make when it builds a module for this kernel.
    pub fn module_arguments(&self) -> impl Iterator<Item = &'static str> {
        let (make, modules) = self
            .flavour
            .recipe()
            .map_or((&[][..], &[][..]), |recipe| (recipe.make, recipe.modules));
        make.iter().chain(modules).copied()
    }

    /// Returns the directory in `root` that modules for this kernel are built against.
    pub fn build_dir(&self, root: &Root) -> Result<String> {
        match self.flavour.recipe() {
            None => stock::build_dir(root, &self.release)
                .with_context(|| format!("the kernel {} is not ready", self.release)),
            Some(_) => Ok(format!("/lib/modules/{}/build", self.release)),
        }
    }

    /// Returns the directory in the root of a kernel that was built here.
    fn dir(&self) -> String {
        format!("/usr/src/linux-{}", self.release)
    }

    /// Returns the path in the root of the kernel that QEMU loads, or of the program that is User
    /// Mode Linux.
    pub fn image(&self) -> String {
        match self.flavour.recipe() {
            None => format!("/usr/lib/modules/{}/vmlinuz", self.release),
            Some(recipe) => format!("{}/build/{}", self.dir(), recipe.image),
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
            Self::UmlSmp => Some(&UML_SMP),
            Self::NoRust => Some(&NO_RUST),
        }
    }

    /// Returns the default size of a guest's memory in MiB.
    pub fn memory(self) -> u32 {
        match self {
            Self::Stock | Self::NoRust => 1024,
            Self::Debug => 2048,
            Self::Uml | Self::UmlSmp => 256,
            Self::UmlDebug => 512,
        }
    }

    /// Returns kernel parameters. In debug kernels, `loglevel` shows kmemleak's reports, which have
    /// the level "info"; `slab_debug` keeps the allocator from holding free objects in reserve,
    /// which kmemleak takes for used ones; `hardened_usercopy` checks copies to and from programs.
    pub fn parameters(self) -> &'static str {
        match self {
            Self::Stock | Self::Uml | Self::UmlSmp | Self::NoRust => "loglevel=6",
            Self::Debug | Self::UmlDebug => "loglevel=7 slab_debug=U hardened_usercopy=on",
        }
    }

    /// Returns whether the flavour is User Mode Linux.
    pub fn is_uml(self) -> bool {
        matches!(self, Self::Uml | Self::UmlDebug | Self::UmlSmp)
    }

    /// Returns the default number of a guest's processors.
    pub fn processors(self) -> u32 {
        match self {
            Self::Uml | Self::UmlDebug => 1,
            Self::Stock | Self::Debug | Self::UmlSmp | Self::NoRust => 2,
        }
    }
}

/// Returns the releases of the kernels that were built here.
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

/// Returns whether `kernel` is ready in `flavour`.
pub fn is_ready(root: &Root, kernel: &Kernel, flavour: Flavour) -> bool {
    let variant = Variant::new(kernel, flavour);
    match flavour.recipe() {
        None => stock::build_dir(root, &kernel.release).is_some(),
        Some(recipe) => fs::read_to_string(root.join(STAMPS).join(stamp(&variant)))
            .is_ok_and(|made_of| essence(&made_of) == essence(&inputs(kernel, recipe))),
    }
}

/// Makes `kernel` ready in `flavour`, unless it is ready.
pub fn ensure(cache: &Cache, root: &Root, kernel: &Kernel, flavour: Flavour) -> Result<()> {
    if is_ready(root, kernel, flavour) {
        return Ok(());
    }
    let variant = Variant::new(kernel, flavour);
    let _lock = root.lock(&variant.release)?;
    if is_ready(root, kernel, flavour) {
        return Ok(());
    }
    let Some(recipe) = flavour.recipe() else {
        return stock::prepare(cache, root, kernel);
    };
    // Without the stamp, an interrupted build cannot be taken for a complete one.
    let stamp_file = root.join(STAMPS).join(stamp(&variant));
    if stamp_file.exists() {
        fs::remove_file(&stamp_file)
            .with_context(|| format!("cannot remove {}", stamp_file.display()))?;
    }
    let modules = format!("usr/lib/modules/{}", variant.release);
    for dir in [variant.dir().trim_start_matches('/'), &modules] {
        owned::remove(&root.join(dir))?;
    }
    build(cache, root, kernel, recipe, &variant)?;
    root.write_stamp(&stamp(&variant), &inputs(kernel, recipe))
}

fn stamp(variant: &Variant) -> String {
    format!("flavours/{}", variant.release)
}

/// Returns everything that the built kernel depends on. The script [`rustc`], [`EXCLUDED`] and
/// [`NO_WARNINGS`] are left out, because they change neither the kernel nor its modules.
fn inputs(kernel: &Kernel, recipe: &Recipe) -> String {
    let version = &kernel.package_version;
    let make = recipe.make;
    let config = recipe.config(kernel);
    format!("{version}\n{make:?}\n{PRUNE}\n{config}")
}

/// Returns the words of `inputs` without comments and line breaks, and the settings in alphabetical
/// order. Other comments, line breaks and orders are no reason to build a kernel again.
fn essence(inputs: &str) -> [Vec<&str>; 2] {
    let (mut settings, others): (Vec<_>, Vec<_>) = inputs
        .lines()
        .filter(|line| !line.starts_with('#') || line.ends_with(" is not set"))
        .partition(|line| line.starts_with("CONFIG_"));
    settings.sort_unstable();
    let words = others.into_iter().flat_map(str::split_whitespace);
    [words.filter(|word| *word != "\\").collect(), settings]
}

fn build(
    cache: &Cache,
    root: &Root,
    kernel: &Kernel,
    recipe: &Recipe,
    variant: &Variant,
) -> Result<()> {
    let release = &variant.release;
    root.ensure_packages(cache, recipe.packages)?;
    let source = source::fetch(root, kernel, &cache.lock()?)?;
    let dir = variant.dir();
    let dir = Path::new(&dir);
    let build = dir.join("build");
    archive::unpack(
        &mut root.command("bash")?,
        &source,
        &dir.join("source"),
        EXCLUDED,
    )?;
    let build_on_host = root.join(build.strip_prefix("/")?);
    // The script that prunes the build reads this directory also in a kernel without Rust.
    fs::create_dir_all(build_on_host.join("rust"))?;
    rustc::write(&build_on_host)?;
    let wanted = recipe.config(kernel);
    fs::write(build_on_host.join("fragment"), &wanted)?;
    let make = |arguments: &[&str]| -> Result<()> {
        command::step(
            &format!("{release}: make {}", arguments.join(" ")),
            root.command_in(&dir.join("source"), "make", None)?
                .arg(format!("O={}", build.display()))
                .arg(format!("RUSTC={}", build.join(rustc::NAME).display()))
                .args(recipe.make)
                .arg(NO_WARNINGS)
                .args(arguments)
                .env("KCONFIG_ALLCONFIG", build.join("fragment")),
        )
    };
    make(&["allnoconfig"])?;
    let config = fs::read_to_string(build_on_host.join(".config"))?;
    let lacking: Vec<_> = lacking(&wanted, &config).collect();
    if !lacking.is_empty() {
        bail!(
            "{release} cannot be configured with {}: these options may depend on others",
            lacking.join(", ")
        );
    }
    let jobs = std::thread::available_parallelism()?;
    make(&[&format!("-j{jobs}"), "all"])?;
    make(&["modules_install"])?;
    command::step(
        &format!("{release}: remove what modules do not need"),
        root.command_in(dir, "sh", None)?.args(["-ec", PRUNE]),
    )
}

/// Returns the settings of `fragment` that `config` does not contain.
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
    #[test]
    fn comments_line_breaks_and_orders_change_no_kernel() {
        let inputs =
            "7.3.4-1\n[\"ARCH=um\"]\nfind a -delete\n# What for.\nCONFIG_A=y\nCONFIG_B=y\n";
        let same =
            "7.3.4-1\n[\"ARCH=um\"]\n#!/bin/sh\nfind a \\\n\t-delete\n\nCONFIG_B=y\nCONFIG_A=y\n";
        assert_eq!(essence(inputs), essence(same));
        let other = inputs.replace("CONFIG_A=y", "# CONFIG_A is not set");
        assert_ne!(essence(inputs), essence(&other));
    }
}
