// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The actions of the command line.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;

use crate::cache::Cache;
use crate::cli::Action;
use crate::cli::Cli;
use crate::cli::KernelArg;
use crate::cli::PackagesArg;
use crate::cli::VmArgs;
use crate::flavour;
use crate::flavour::Flavour;
use crate::flavour::Variant;
use crate::foreign;
use crate::guest::VmOptions;
use crate::host;
use crate::job;
use crate::job::Job;
use crate::kernel::newest_of;
use crate::kernel::DebianFlavour;
use crate::kernel::Kernel;
use crate::kernel::Kernels;
use crate::kernel::Wanted;
use crate::module;
use crate::root::Root;
use crate::sandbox;
use crate::sandbox::Caller;
use crate::vm;

/// Runs the action of `cli` and returns its exit status.
pub fn run(cli: Cli) -> Result<i32> {
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
        Action::Cargo {
            home,
            target,
            arguments,
        } => open()?.cargo(&home, target.as_deref(), &arguments),
        Action::Vm { vm, command } => open()?.vm(vm, command, false),
        Action::Shell { vm, command } => open()?.vm(vm, command, true),
        Action::Clean => Cache::clean(&dir).map(|()| 0),
    }
}

/// What the actions need. Each action returns its exit status.
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
            self.root.refresh_index(&self.cache.lock()?)?;
        }
        let kernels = Kernels::query(&self.root)?;
        for wanted in DebianFlavour::ALL.into_iter().flat_map(newest_of) {
            match kernels.newest(wanted) {
                Some(kernel) => println!("{wanted:<16} newest offered: {}", kernel.upstream()),
                None => println!("{wanted:<16} no longer offered by the package index"),
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
        for &wanted in wanted {
            self.ready(Some(wanted), flavour)?;
        }
        let kernels = Kernels::query(&self.root)?;
        for series in newest_of(DebianFlavour::Amd64).filter(|_| wanted.is_empty()) {
            match kernels.newest(series) {
                Some(_) => drop(self.ready(Some(series), flavour)?),
                None => eprintln!("lab: the package index no longer offers kernel {series}"),
            }
        }
        Ok(0)
    }

    /// Prepares the `wanted` kernel if needed, and returns it.
    fn ready(&self, wanted: Option<Wanted>, flavour: Flavour) -> Result<Variant> {
        if let Some(wanted) =
            wanted.filter(|wanted| flavour != Flavour::Stock && !wanted.is_amd64())
        {
            bail!("kernel {wanted} has no other flavour than Debian's: leave out --flavour");
        }
        let kernels = Kernels::query(&self.root)?;
        let kernel = kernels.choose(wanted)?;
        if flavour::is_ready(&self.root, kernel, flavour) {
            return Ok(Variant::new(kernel, flavour));
        }
        // The archive keeps no old versions, so an old index may name packages that no longer
        // exist.
        self.root.refresh_stale_index(&self.cache.lock()?)?;
        let kernels = Kernels::query(&self.root)?;
        let kernel = kernels.choose(wanted)?;
        flavour::ensure(&self.cache, &self.root, kernel, flavour)?;
        Ok(Variant::new(kernel, flavour))
    }

    fn build(&self, wanted: &KernelArg, dir: &Path, arguments: &[String]) -> Result<i32> {
        let dir = directory(dir)?;
        let variant = self.ready(wanted.kernel, wanted.flavour.flavour)?;
        self.root.show(&dir)?;
        let status = module::make(
            &self.root,
            &variant,
            &dir,
            self.caller,
            arguments,
            Stdio::inherit(),
        )?;
        Ok(status_of(status))
    }

    /// Installs those of the packages that are missing.
    fn install(&self, arguments: &PackagesArg) -> Result<()> {
        let names = arguments.packages.iter().map(String::as_str);
        let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
        self.root.ensure_packages(&self.cache, &names)
    }

    fn run(&self, packages: &PackagesArg, command: &[String]) -> Result<i32> {
        let current = std::env::current_dir()?;
        self.install(packages)?;
        self.root.show(&current)?;
        let status = self
            .root
            .command_in(&current, &command[0], self.caller)?
            .args(&command[1..])
            .status()
            .with_context(|| format!("cannot run {} in the root", command[0]))?;
        Ok(status_of(status))
    }

    fn cargo(&self, home: &Path, target: Option<&Path>, arguments: &[String]) -> Result<i32> {
        let (current, home) = (std::env::current_dir()?, directory(home)?);
        foreign::ensure(&self.cache, &self.root)?;
        self.root.show(&current)?;
        self.root.show(&home)?;
        let mut cargo = self.root.command_in(&current, "cargo", self.caller)?;
        foreign::build_with_cargo(&mut cargo, &home);
        if let Some(target) = target {
            let target = std::path::absolute(target)?;
            // Cargo marks the directory if it makes it.
            self.root.show(target.parent().context("no directory")?)?;
            cargo.env("CARGO_TARGET_DIR", target);
        }
        let status = cargo.args(arguments).status();
        Ok(status_of(status.context("cannot run cargo in the root")?))
    }

    fn vm(&self, arguments: VmArgs, command: Vec<String>, terminal: bool) -> Result<i32> {
        let current = std::env::current_dir()?;
        let mut path = Vec::new();
        for dir in &arguments.paths {
            let dir = directory(dir)?;
            if !dir.starts_with(&current) {
                bail!(
                    "{} is not in the current directory, so the guest does not see it",
                    dir.display()
                );
            }
            path.push(text(&dir)?);
        }
        path.push(job::PATH.to_owned());
        let job = Job {
            terminal,
            term: std::env::var("TERM").unwrap_or_else(|_| "dumb".to_owned()),
            dir: text(&current)?,
            path: path.join(":"),
            command,
        };
        let flavour = arguments.kernel.flavour.flavour;
        let variant = self.ready(arguments.kernel.kernel, flavour)?;
        self.install(&arguments.packages)?;
        self.root.show(&current)?;
        let mut modules = arguments.modules;
        for dir in &arguments.builds {
            let dir = directory(dir)?;
            if !dir.starts_with(&current) {
                self.root.show(&dir)?;
            }
            let status = module::make(
                &self.root,
                &variant,
                &dir,
                self.caller,
                &["--silent"],
                std::io::stderr(),
            )?;
            if !status.success() {
                bail!("cannot build the module in {}", dir.display());
            }
            modules.append(&mut module::built(&variant, &dir)?);
        }
        let processors = match arguments.icount {
            true => 1,
            false => flavour.processors(),
        };
        let options = VmOptions {
            processors: arguments.smp.unwrap_or(processors),
            memory: arguments.memory.unwrap_or(flavour.memory()),
            icount: arguments.icount,
            append: arguments.append,
            limit: Duration::from_secs(arguments.timeout),
            modules,
        };
        vm::run(&self.root, &variant, &options, &job)
    }
}

/// Returns the absolute path of a directory.
fn directory(dir: &Path) -> Result<PathBuf> {
    dir.canonicalize()
        .with_context(|| format!("no directory {}", dir.display()))
}

/// Returns a path as text, for the guest.
fn text(path: &Path) -> Result<String> {
    let text = path
        .to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(text.to_owned())
}

/// Returns the exit status as a shell reports it.
fn status_of(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
