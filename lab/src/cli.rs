// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The command line.

use std::path::PathBuf;

use clap::Args;
use clap::Parser;
use clap::Subcommand;

use crate::flavour::Flavour;
use crate::kernel::Wanted;
use crate::sandbox::Caller;

#[derive(Parser)]
#[command(name = "lab", version, about, disable_help_subcommand = true)]
pub struct Cli {
    /// The cache directory. Set when the lab starts itself again as root.
    #[arg(long, hide = true)]
    pub cache: Option<PathBuf>,
    /// The user who started the lab. Set when the lab starts itself again as root.
    #[arg(long, hide = true)]
    pub caller: Option<Caller>,
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Subcommand)]
pub enum Action {
    /// List the kernels that the package index offers and those that are prepared
    Kernels {
        /// Download the package index again first
        #[arg(long)]
        refresh: bool,
    },
    /// Make the root and prepare kernels; by default the newest of each supported series
    Setup {
        #[command(flatten)]
        flavour: FlavourArg,
        /// 7.2, 7.3 or an exact version such as 7.2.11; a flavour of Debian's other than amd64
        /// follows a hyphen, as in 7.3-rt-amd64
        kernels: Vec<Wanted>,
    },
    /// Build the external module in a directory; the output goes to DIR/build/module/RELEASE
    Build {
        #[command(flatten)]
        kernel: KernelArg,
        /// The directory with the Kbuild file
        #[arg(default_value = ".")]
        dir: PathBuf,
        /// Additional arguments for make
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Run a command in the root, a Debian system in the cache that shows the current directory
    Run {
        #[command(flatten)]
        packages: PackagesArg,
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Run Debian's cargo in the root, which builds programs for guests of arm64
    Cargo {
        /// Cargo's directory on the host, with the downloaded crates
        #[arg(long, value_name = "DIR")]
        home: PathBuf,
        /// The host's directory for what cargo builds, if it is outside the current directory
        #[arg(long, value_name = "DIR")]
        target: Option<PathBuf>,
        #[arg(required = true, last = true)]
        arguments: Vec<String>,
    },
    /// Boot a kernel in a virtual machine and run a command there as root
    Vm {
        #[command(flatten)]
        vm: VmArgs,
        #[arg(required = true, last = true)]
        command: Vec<String>,
    },
    /// Boot a kernel in a virtual machine and start a shell there
    Shell {
        #[command(flatten)]
        vm: VmArgs,
        #[arg(default_value = "bash", last = true)]
        command: Vec<String>,
    },
    /// Remove what the lab made from the cache: the root, all kernels and what was built for them
    Clean,
}

#[derive(Args)]
pub struct KernelArg {
    /// The kernel: 7.2, 7.3 or an exact version, with another of Debian's flavours than amd64
    /// behind a hyphen, such as 7.3-rt-amd64; by default the newest supported one
    #[arg(long, value_name = "KERNEL")]
    pub kernel: Option<Wanted>,
    #[command(flatten)]
    pub flavour: FlavourArg,
}

#[derive(Args)]
pub struct FlavourArg {
    /// How the kernel is built and run
    #[arg(long, value_enum, default_value = "stock", value_name = "FLAVOUR")]
    pub flavour: Flavour,
}

#[derive(Args)]
pub struct PackagesArg {
    /// Install Debian packages in the root first; they stay installed
    #[arg(long, value_delimiter = ' ', value_name = "NAMES")]
    pub packages: Vec<String>,
}

#[derive(Args)]
pub struct VmArgs {
    #[command(flatten)]
    pub kernel: KernelArg,
    #[command(flatten)]
    pub packages: PackagesArg,
    /// Build the external module in a directory first, as `lab build` does, and install it
    #[arg(long = "build", value_name = "DIR")]
    pub builds: Vec<PathBuf>,
    /// Install a module in addition to the kernel's own
    #[arg(long = "module", value_name = "FILE.ko")]
    pub modules: Vec<PathBuf>,
    /// Put a directory first in the guest's PATH; it must be in the current directory
    #[arg(long = "path", value_name = "DIR")]
    pub paths: Vec<PathBuf>,
    /// Stop the guest after SECONDS, with exit status 124
    #[arg(long, default_value_t = 1800, value_name = "SECONDS")]
    pub timeout: u64,
    /// Append kernel parameters
    #[arg(
        long,
        default_value = "",
        value_name = "PARAMETERS",
        allow_hyphen_values = true
    )]
    pub append: String,
    /// The number of processors; by default 2, and always 1 in the flavours uml and uml-debug and
    /// with --icount
    #[arg(long, value_name = "NUMBER")]
    pub smp: Option<u32>,
    /// The size of the guest's memory; by default what the flavour needs
    #[arg(long, value_name = "MIB")]
    pub memory: Option<u32>,
    /// Make the guest's clock advance by 1 ns per instruction, so that measurements are repeatable;
    /// only in QEMU, with one processor
    #[arg(long)]
    pub icount: bool,
}
