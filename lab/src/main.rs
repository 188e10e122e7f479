// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Builds Rust kernel modules for stock Debian kernels, and runs them in virtual machines: in QEMU,
//! or as User Mode Linux.

mod cache;
mod cli;
mod flavour;
mod foreign;
mod guest;
mod host;
mod init;
mod job;
mod kernel;
mod klog;
mod lab;
mod module;
mod qemu;
mod root;
mod sandbox;
mod source;
mod stock;
mod terminal;
mod uml;
mod vm;

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use cli::Cli;

/// The exit status if the lab itself failed, which commands rarely return.
const FAILURE: u8 = 125;

fn main() -> ExitCode {
    // This program is also the guest's init, and rust-kernel-kit in the root.
    let name = PathBuf::from(std::env::args_os().next().unwrap_or_default());
    if name == Path::new(job::INIT) {
        init::main();
    }
    if name.ends_with(rust_kernel_kit::NAME) {
        return rust_kernel_kit::main();
    }
    match lab::run(Cli::parse()) {
        Ok(status) => ExitCode::from(u8::try_from(status).unwrap_or(FAILURE)),
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::from(FAILURE)
        }
    }
}
