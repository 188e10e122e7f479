// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Builds Rust kernel modules against stock Debian kernels and boots those kernels in QEMU, or as
//! User Mode Linux.

mod cache;
mod console;
mod flavour;
mod guest;
mod host;
mod job;
mod kernel;
mod module;
mod qemu;
mod root;
mod sandbox;
mod sources;
mod stock;
mod terminal;
mod uml;
mod vm;

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{bail, Context, Result};
use clap::{Args, Parser, Subcommand};

use cache::Cache;
use flavour::{Flavour, Target};
use job::Job;
use kernel::{Kernel, Kernels, Wanted};
use root::Root;
use sandbox::Caller;
use vm::Machine;

/// Exit status for a failure of lab itself, so that it differs from what commands return.
const FAILURE: u8 = 125;

#[derive(Parser)]
#[command(version, about, disable_help_subcommand = true)]
struct Cli {
    /// The cache folder, when started again as root.
    #[arg(long, hide = true)]
    cache: Option<PathBuf>,
    /// Who started it, when started again as root.
    #[arg(long, hide = true)]
    caller: Option<Caller>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Show the kernels that the package index offers and those that are prepared
    Kernels {
        /// Read the package index again first
        #[arg(long)]
        refresh: bool,
    },
    /// Make the root and prepare kernels; all the newest supported ones if none is named
    Setup {
        #[command(flatten)]
        flavour: FlavourArg,
        /// 7.2, 7.3 or an exact version
        kernels: Vec<Wanted>,
    },
    /// Build the external module in a folder; its output goes to DIR/build/module/RELEASE
    Build {
        #[command(flatten)]
        kernel: KernelArg,
        /// The folder with the Kbuild file
        #[arg(default_value = ".")]
        dir: PathBuf,
        /// More arguments for make
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Run a command in the root, with the current folder visible
    Run {
        #[command(flatten)]
        packages: PackagesArg,
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Boot the kernel and run a command in it as root
    Vm {
        #[command(flatten)]
        vm: VmArgs,
        #[arg(required = true, last = true)]
        command: Vec<String>,
    },
    /// Boot the kernel with a terminal
    Shell {
        #[command(flatten)]
        vm: VmArgs,
        #[arg(default_value = "bash", last = true)]
        command: Vec<String>,
    },
    /// Remove the cache: the root and all kernels
    Clean,
}

#[derive(Args)]
struct KernelArg {
    /// 7.2, 7.3 or an exact version; the newest supported one if not given
    #[arg(long, value_name = "KERNEL")]
    kernel: Option<Wanted>,
    #[command(flatten)]
    flavour: FlavourArg,
}

#[derive(Args)]
struct FlavourArg {
    /// What to make of the kernel's sources
    #[arg(long, value_enum, default_value = "stock", value_name = "FLAVOUR")]
    flavour: Flavour,
}

#[derive(Args)]
struct PackagesArg {
    /// Debian packages to install in the root first (they stay there)
    #[arg(long, value_delimiter = ' ', value_name = "NAMES")]
    packages: Vec<String>,
}

#[derive(Args)]
struct VmArgs {
    #[command(flatten)]
    kernel: KernelArg,
    #[command(flatten)]
    packages: PackagesArg,
    /// Build the external module in a folder first, as `lab build` does, and install it
    #[arg(long = "build", value_name = "DIR")]
    builds: Vec<PathBuf>,
    /// Install a module beside the stock ones
    #[arg(long = "module", value_name = "FILE.ko")]
    modules: Vec<PathBuf>,
    /// Put a folder in front of PATH; it must be in the current folder
    #[arg(long = "path", value_name = "DIR")]
    paths: Vec<PathBuf>,
    /// Stop the guest after so many seconds, with exit status 124
    #[arg(long, default_value_t = 1800, value_name = "SECONDS")]
    timeout: u64,
    /// More words for the kernel's command line
    #[arg(
        long,
        default_value = "",
        value_name = "WORDS",
        allow_hyphen_values = true
    )]
    append: String,
    /// The number of processors; 2 if not given, and always 1 in User Mode Linux and with --icount
    #[arg(long, value_name = "NUMBER")]
    smp: Option<u32>,
    /// The size of the memory; what the flavour needs if not given
    #[arg(long, value_name = "MIB")]
    memory: Option<u32>,
    /// Let time pass with the instructions of the one processor, a nanosecond each, so that
    /// measurements repeat; in QEMU only
    #[arg(long)]
    icount: bool,
}

fn main() -> ExitCode {
    // This program is also what runs in a guest first, and in the root to prepare stock kernels.
    let name = PathBuf::from(std::env::args_os().next().unwrap_or_default());
    if name == Path::new(job::INIT) {
        guest::main();
    }
    if name.ends_with(rust_kernel_kit::NAME) {
        return rust_kernel_kit::main();
    }
    match work(Cli::parse()) {
        Ok(status) => ExitCode::from(u8::try_from(status).unwrap_or(FAILURE)),
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::from(FAILURE)
        }
    }
}

fn work(cli: Cli) -> Result<i32> {
    let dir = cli.cache.map_or_else(Cache::default_dir, Ok)?;
    host::become_root(&dir)?;
    sandbox::enter()?;
    let open = || Lab::open(&dir, cli.caller);
    match cli.action {
        Action::Kernels { refresh } => open()?.print_kernels(refresh),
        Action::Setup { flavour, kernels } => open()?.set_up(&kernels, flavour.flavour),
        Action::Build {
            kernel,
            dir,
            arguments,
        } => open()?.build(&kernel, &dir, &arguments),
        Action::Run { packages, command } => open()?.run(&packages, &command),
        Action::Vm { vm, command } => open()?.vm(vm, command, false),
        Action::Shell { vm, command } => open()?.vm(vm, command, true),
        Action::Clean => Cache::clean(&dir).map(|()| 0),
    }
}

/// What the actions work with. Each returns the exit status.
struct Lab {
    cache: Cache,
    root: Root,
    caller: Option<Caller>,
}

impl Lab {
    fn open(dir: &Path, caller: Option<Caller>) -> Result<Self> {
        let cache = Cache::open(dir)?;
        let root = Root::open(&cache)?;
        Ok(Self {
            cache,
            root,
            caller,
        })
    }

    fn print_kernels(&self, refresh: bool) -> Result<i32> {
        if refresh {
            self.root.refresh_index()?;
        }
        let kernels = Kernels::query(&self.root)?;
        for (series, newest) in kernels.newest() {
            match newest {
                Some(kernel) => println!("{series}  newest offered: {}", kernel.upstream()),
                None => println!("{series}  not offered by the package index any more"),
            }
        }
        let list = |kernels: &[Kernel]| match kernels {
            [] => "none".to_owned(),
            kernels => kernels
                .iter()
                .map(|kernel| &*kernel.release)
                .collect::<Vec<_>>()
                .join(" "),
        };
        println!("offered:  {}", list(&kernels.offered));
        println!("prepared: {}", list(&kernels.prepared));
        println!("built:    {}", flavour::built(&self.root)?.join(" "));
        Ok(0)
    }

    fn set_up(&self, wanted: &[Wanted], flavour: Flavour) -> Result<i32> {
        if !wanted.is_empty() {
            for &wanted in wanted {
                self.ready(Some(wanted), flavour)?;
            }
            return Ok(0);
        }
        for (series, newest) in Kernels::query(&self.root)?.newest() {
            match newest {
                Some(_) => drop(self.ready(Some(Wanted::Newest(series)), flavour)?),
                None => eprintln!("lab: the package index does not offer kernel {series} any more"),
            }
        }
        Ok(0)
    }

    /// The kernel that is meant, made ready.
    fn ready(&self, wanted: Option<Wanted>, flavour: Flavour) -> Result<Target> {
        let kernels = Kernels::query(&self.root)?;
        let kernel = kernels.choose(wanted)?;
        if flavour::is_ready(&self.root, kernel, flavour) {
            return Ok(Target::new(kernel, flavour));
        }
        // The archive keeps no old versions, so an old index may name what is gone.
        self.root.refresh_stale_index()?;
        let kernels = Kernels::query(&self.root)?;
        let kernel = kernels.choose(wanted)?;
        flavour::ensure(&self.cache, &self.root, kernel, flavour)?;
        Ok(Target::new(kernel, flavour))
    }

    fn build(&self, wanted: &KernelArg, dir: &Path, arguments: &[String]) -> Result<i32> {
        let dir = folder_at(dir)?;
        let target = self.ready(wanted.kernel, wanted.flavour.flavour)?;
        self.root.show(&dir)?;
        let make = module::make(
            &self.root,
            &target,
            &dir,
            self.caller,
            arguments,
            Stdio::inherit(),
        );
        make.map(status_of)
    }

    /// Installs what is missing of packages.
    fn install(&self, arguments: &PackagesArg) -> Result<()> {
        let names = arguments.packages.iter().map(String::as_str);
        let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
        self.root.ensure_packages(&self.cache, &names)
    }

    fn run(&self, packages: &PackagesArg, command: &[String]) -> Result<i32> {
        let folder = std::env::current_dir()?;
        self.install(packages)?;
        self.root.show(&folder)?;
        let status = self
            .root
            .command_in(&folder, &command[0], self.caller)?
            .args(&command[1..])
            .status()
            .with_context(|| format!("cannot run {} in the root", command[0]))?;
        Ok(status_of(status))
    }

    fn vm(&self, arguments: VmArgs, command: Vec<String>, terminal: bool) -> Result<i32> {
        let folder = std::env::current_dir()?;
        let mut path = Vec::new();
        for dir in &arguments.paths {
            let dir = folder_at(dir)?;
            if !dir.starts_with(&folder) {
                bail!(
                    "{} is not in the current folder, so the guest does not see it",
                    dir.display()
                );
            }
            path.push(text(&dir)?);
        }
        path.push(job::PATH.to_owned());
        let job = Job {
            terminal,
            term: std::env::var("TERM").unwrap_or_else(|_| "dumb".to_owned()),
            folder: text(&folder)?,
            path: path.join(":"),
            command,
        };
        let flavour = arguments.kernel.flavour.flavour;
        let target = self.ready(arguments.kernel.kernel, flavour)?;
        self.install(&arguments.packages)?;
        self.root.show(&folder)?;
        let mut modules = arguments.modules;
        for dir in &arguments.builds {
            let dir = folder_at(dir)?;
            if !dir.starts_with(&folder) {
                self.root.show(&dir)?;
            }
            let status = module::make(
                &self.root,
                &target,
                &dir,
                self.caller,
                &["--silent"],
                std::io::stderr(),
            )?;
            if !status.success() {
                bail!("cannot build the module in {}", dir.display());
            }
            modules.append(&mut module::built(&target, &dir)?);
        }
        let single = flavour.is_uml() || arguments.icount;
        let machine = Machine {
            processors: arguments.smp.unwrap_or(if single { 1 } else { 2 }),
            memory: arguments.memory.unwrap_or(flavour.memory()),
            icount: arguments.icount,
            append: arguments.append,
            limit: Duration::from_secs(arguments.timeout),
            modules,
        };
        vm::run(&self.root, &target, &machine, &job)
    }
}

/// The absolute path of a folder.
fn folder_at(dir: &Path) -> Result<PathBuf> {
    dir.canonicalize()
        .with_context(|| format!("no folder {}", dir.display()))
}

/// A path as text, for the guest.
fn text(path: &Path) -> Result<String> {
    let text = path
        .to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(text.to_owned())
}

/// The exit status as a shell reports it.
fn status_of(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
