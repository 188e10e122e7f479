// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Compiles variants of the peers that their crates do not offer: libdeflate without VNNI and
//! AVX-512, zlib-rs with them, and the generic C code of the peers, for general registers only.
//! Passes the versions of the peers and of the compilers to the program.

use std::env;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use cargo_metadata::Metadata;
use cargo_metadata::MetadataCommand;
use cargo_metadata::Package;

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.lock");
    let target = env::var("TARGET")?;
    // Without the packages for other targets, which need not have been downloaded.
    let options = ["--locked", "--offline", "--filter-platform", &target];
    let metadata = MetadataCommand::new()
        .other_options(options.map(String::from))
        .exec()
        .context("`cargo metadata` cannot find the source code of the peers")?;
    let libdeflate = directory(&metadata, "libdeflate-sys")?.join("libdeflate");
    let zlib = directory(&metadata, "libz-sys")?.join("src/zlib");
    let zlib_ng = directory(&metadata, "libz-ng-sys")?.join("src/zlib-ng");

    // It shares the detection of the processor with the crate's own object.
    optimized()
        .file(libdeflate.join("lib/adler32.c"))
        .include(&libdeflate)
        .define("libdeflate_adler32", "bench_libdeflate_avx2")
        .define("LIBDEFLATE_ASSEMBLER_DOES_NOT_SUPPORT_AVX_VNNI", None)
        .define("LIBDEFLATE_ASSEMBLER_DOES_NOT_SUPPORT_AVX512VNNI", None)
        .try_compile("bench_libdeflate_avx2")?;

    // The last definition is the guard of the header with the vector code, which skips that header.
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

    // Some of its headers are generated.
    let generated =
        env::var_os("DEP_Z_NG_INCLUDE").context("libz-ng-sys reports no directory of headers")?;
    general()
        .file(zlib_ng.join("arch/generic/adler32_c.c"))
        .include(generated)
        .include(&zlib_ng)
        .define("adler32_c", "bench_zlib_ng_general")
        .try_compile("bench_zlib_ng_general")?;

    zlib_rs_avx512(&directory(&metadata, "zlib-rs")?)?;
    versions(&metadata)
}

/// Compiles zlib-rs a second time, because it chooses AVX-512 at compile time. Cargo cannot compile
/// the same package in two ways.
fn zlib_rs_avx512(zlib_rs: &Path) -> Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is not set")?);
    let status = Command::new(env::var_os("RUSTC").context("RUSTC is not set")?)
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
        .context("cannot run the compiler for zlib-rs")?;
    ensure!(status.success(), "zlib-rs does not compile");
    println!("cargo::rustc-link-search=dependency={}", out.display());
    println!("cargo::rustc-link-search=crate={}", out.display());
    Ok(())
}

/// Passes the versions of the peers and of the compilers to the program.
fn versions(metadata: &Metadata) -> Result<()> {
    let ours = metadata
        .root_package()
        .context("there is no root package")?;
    // Cargo.toml requires exact versions of the peers alone.
    let is_peer = |package: &&Package| {
        let mut dependencies = ours.dependencies.iter();
        let this = dependencies.find(|dependency| dependency.name == package.name.as_str());
        this.is_some_and(|dependency| dependency.req.to_string().starts_with('='))
    };
    let peers: Vec<_> = metadata
        .packages
        .iter()
        .filter(is_peer)
        .map(|package| format!("{} {}", package.name, package.version))
        .collect();
    println!("cargo::rustc-env=BENCH_PEERS={}", peers.join(", "));
    let rustc = Command::new(env::var_os("RUSTC").context("RUSTC is not set")?);
    println!("cargo::rustc-env=BENCH_RUSTC={}", first_line(rustc)?);
    let cc = optimized().try_get_compiler()?.to_command();
    println!("cargo::rustc-env=BENCH_CC={}", first_line(cc)?);
    Ok(())
}

/// Returns the first line that a compiler prints for `--version`.
fn first_line(mut compiler: Command) -> Result<String> {
    let output = compiler
        .arg("--version")
        .output()
        .with_context(|| format!("cannot run {compiler:?}"))?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Returns the directory of a package's source code.
fn directory(metadata: &Metadata, name: &str) -> Result<PathBuf> {
    let package = metadata
        .packages
        .iter()
        .find(|package| package.name == name)
        .with_context(|| format!("{name} is not in Cargo.lock"))?;
    let manifest = package.manifest_path.as_std_path();
    Ok(manifest.parent().unwrap_or(manifest).to_owned())
}

/// Returns a build with optimization.
fn optimized() -> cc::Build {
    let mut build = cc::Build::new();
    build.opt_level(3).warnings(false).inherit_rustflags(false);
    build
}

/// Returns a build for general registers only, as the kernel compiles its own C code.
fn general() -> cc::Build {
    let mut build = optimized();
    build
        .flag("-mgeneral-regs-only")
        .flag("-fno-tree-vectorize")
        .flag("-fno-tree-slp-vectorize");
    build
}
