// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Compiles what the peers' crates hold but do not offer: libdeflate without VNNI and AVX-512, and
//! the C code that the peers use on processors without vectors, in general registers only.

use std::env;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;
use cargo_metadata::Metadata;
use cargo_metadata::MetadataCommand;

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.lock");
    let metadata = MetadataCommand::new()
        .other_options(["--locked".to_owned(), "--offline".to_owned()])
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
    Ok(())
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
