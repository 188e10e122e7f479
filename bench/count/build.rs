// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Compiles libdeflate without the dot product, which its crate does not offer.

use std::error::Error;

use cargo_metadata::MetadataCommand;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.lock");
    // Without the packages for other targets, which need not have been downloaded.
    let target = std::env::var("TARGET")?;
    let options = ["--locked", "--offline", "--filter-platform", &target];
    let metadata = MetadataCommand::new()
        .other_options(options.map(String::from))
        .exec()?;
    let package = metadata
        .packages
        .iter()
        .find(|package| package.name == "libdeflate-sys")
        .ok_or("libdeflate-sys is not in Cargo.lock")?;
    let crate_directory = package.manifest_path.parent().ok_or("no directory")?;
    let libdeflate = crate_directory.join("libdeflate");
    cc::Build::new()
        .opt_level(3)
        .warnings(false)
        .file(libdeflate.join("lib/adler32.c"))
        .include(&libdeflate)
        .define("libdeflate_adler32", "bench_libdeflate_neon")
        .define("LIBDEFLATE_ASSEMBLER_DOES_NOT_SUPPORT_DOTPROD", None)
        .try_compile("bench_libdeflate_neon")?;
    Ok(())
}
