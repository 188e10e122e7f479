// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Compiles what the peers' crates hold but do not offer to programs for any processor: libdeflate
//! without VNNI and AVX-512, zlib-rs with them, and the C code that the peers use on processors
//! without vectors, in general registers only. Hands over the versions of all.

use std::env;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use cargo_metadata::Metadata;
use cargo_metadata::MetadataCommand;

/// The packages that are compared with ours.
const PEERS: [&str; 6] = [
    "adler2",
    "libdeflate-sys",
    "libz-ng-sys",
    "libz-sys",
    "simd-adler32",
    "zlib-rs",
];

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.lock");
    let target = env::var("TARGET")?;
    // Without the packages for other targets, which need not be there.
    let options = ["--locked", "--offline", "--filter-platform", &target];
    let metadata = MetadataCommand::new()
        .other_options(options.map(String::from))
        .exec()
        .context("cannot find the sources of the peers by `cargo metadata`")?;
    let libdeflate = folder(&metadata, "libdeflate-sys")?.join("libdeflate");
    let zlib = folder(&metadata, "libz-sys")?.join("src/zlib");
    let zlib_ng = folder(&metadata, "libz-ng-sys")?.join("src/zlib-ng");

    // Detects the processor through the crate's own object.
    optimised()
        .file(libdeflate.join("lib/adler32.c"))
        .include(&libdeflate)
        .define("libdeflate_adler32", "bench_libdeflate_avx2")
        .define("LIBDEFLATE_ASSEMBLER_DOES_NOT_SUPPORT_AVX_VNNI", None)
        .define("LIBDEFLATE_ASSEMBLER_DOES_NOT_SUPPORT_AVX512VNNI", None)
        .try_compile("bench_libdeflate_avx2")?;

    // The guard of a header that is not to be read: it has the vectors.
    general()
        .file(libdeflate.join("lib/adler32.c"))
        .include(&libdeflate)
        .define("libdeflate_adler32", "bench_libdeflate_general")
        .define("LIB_X86_ADLER32_IMPL_H", None)
        .try_compile("bench_libdeflate_general")?;

    general()
        .file(zlib.join("adler32.c"))
        .include(&zlib)
        .define("adler32_z", "bench_zlib_general")
        .define("adler32", "bench_zlib_adler32")
        .define("adler32_combine", "bench_zlib_adler32_combine")
        .define("adler32_combine64", "bench_zlib_adler32_combine64")
        .try_compile("bench_zlib_general")?;

    // Its headers are partly generated.
    let generated = env::var_os("DEP_Z_NG_INCLUDE").context("libz-ng-sys names no headers")?;
    general()
        .file(zlib_ng.join("arch/generic/adler32_c.c"))
        .include(generated)
        .include(&zlib_ng)
        .define("adler32_c", "bench_zlib_ng_general")
        .try_compile("bench_zlib_ng_general")?;

    zlib_rs_avx512(&folder(&metadata, "zlib-rs")?)?;
    versions(&metadata)
}

/// Compiles zlib-rs once more: it chooses AVX-512 when it is compiled, not when it runs. Cargo
/// cannot compile the same package in two ways.
fn zlib_rs_avx512(zlib_rs: &Path) -> Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").context("no OUT_DIR")?);
    let status = Command::new(env::var_os("RUSTC").context("no RUSTC")?)
        .args(["--crate-name=zlib_rs_avx512", "--crate-type=rlib"])
        .args(["--edition=2021", "--cap-lints=allow", "-Copt-level=3"])
        .arg("-Ctarget-feature=+avx2,+bmi1,+bmi2,+avx512f,+avx512bw,+avx512vnni")
        .args(
            ["std", "rust-allocator", "avx512", "vpclmulqdq"]
                .map(|f| format!("--cfg=feature={f:?}")),
        )
        .arg("--out-dir")
        .arg(&out)
        .arg(zlib_rs.join("src/lib.rs"))
        .status()
        .context("cannot run the compiler on zlib-rs")?;
    ensure!(status.success(), "zlib-rs does not compile");
    println!("cargo::rustc-link-search=dependency={}", out.display());
    println!("cargo::rustc-link-search=crate={}", out.display());
    Ok(())
}

/// Passes on what was compiled, and by what.
fn versions(metadata: &Metadata) -> Result<()> {
    let peers: Vec<_> = metadata
        .packages
        .iter()
        .filter(|package| PEERS.contains(&package.name.as_str()))
        .map(|package| format!("{} {}", package.name, package.version))
        .collect();
    println!("cargo::rustc-env=BENCH_PEERS={}", peers.join(", "));
    let rustc = Command::new(env::var_os("RUSTC").context("no RUSTC")?);
    println!("cargo::rustc-env=BENCH_RUSTC={}", first_line(rustc)?);
    let cc = optimised().try_get_compiler()?.to_command();
    println!("cargo::rustc-env=BENCH_CC={}", first_line(cc)?);
    Ok(())
}

/// Returns the first line of what a compiler says to `--version`.
fn first_line(mut compiler: Command) -> Result<String> {
    let output = compiler
        .arg("--version")
        .output()
        .with_context(|| format!("cannot run {compiler:?}"))?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Returns the folder of a package's sources.
fn folder(metadata: &Metadata, name: &str) -> Result<PathBuf> {
    let package = metadata
        .packages
        .iter()
        .find(|package| package.name == name)
        .with_context(|| format!("Cargo.lock has no {name}"))?;
    let manifest = package.manifest_path.as_std_path();
    Ok(manifest.parent().unwrap_or(manifest).to_owned())
}

fn optimised() -> cc::Build {
    let mut build = cc::Build::new();
    build.opt_level(3).warnings(false).inherit_rustflags(false);
    build
}

/// As the kernel compiles its own C code.
fn general() -> cc::Build {
    let mut build = optimised();
    build
        .flag("-mgeneral-regs-only")
        .flag("-fno-tree-vectorize")
        .flag("-fno-tree-slp-vectorize");
    build
}
