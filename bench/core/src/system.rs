// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The system on which the figures are measured.

use std::fs;

use anyhow::Context;
use anyhow::Result;
use nix::sched;
use nix::sched::CpuSet;
use nix::unistd::Pid;
use serde::Serialize;

/// What the figures depend on, besides the code of this project.
#[derive(Debug, Serialize)]
pub struct System {
    pub processor: String,
    pub kernel: String,
    /// The load average of the last minute.
    pub load: f64,
    pub transparent_huge_pages: String,
    pub rustc: &'static str,
    pub cc: &'static str,
    pub peers: &'static str,
}

impl System {
    /// Describes the running system.
    pub fn this() -> Result<Self> {
        let processors = read("/proc/cpuinfo")?;
        let cpuinfo = |label: &str| {
            let line = processors.lines().find(|line| line.starts_with(label))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        // In virtual machines, the model name is often generic.
        let processor = format!(
            "{} (family {}, model {})",
            cpuinfo("model name").context("/proc/cpuinfo contains no model name")?,
            cpuinfo("cpu family").unwrap_or_default(),
            cpuinfo("model\t").unwrap_or_default()
        );
        let load = read("/proc/loadavg")?;
        let load = load.split(' ').next().unwrap_or_default();
        Ok(Self {
            processor,
            kernel: bench_common::kernel()?,
            load: load.parse().context("/proc/loadavg contains no load")?,
            transparent_huge_pages: read("/sys/kernel/mm/transparent_hugepage/enabled")
                .unwrap_or("not supported".to_owned()),
            rustc: env!("BENCH_RUSTC"),
            cc: env!("BENCH_CC"),
            peers: env!("BENCH_PEERS"),
        })
    }

    /// Prints the description, except for the huge pages.
    pub fn print(&self) {
        println!("{}, Linux {}", self.processor, self.kernel);
        println!("{}; {}", self.rustc, self.cc);
        println!("{}", self.peers);
        println!("load {}", self.load);
    }
}

/// Reads a file of one line or more, without the last newline.
fn read(file: &str) -> Result<String> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    Ok(text.trim_end().to_owned())
}

/// Binds the process to the last processor that it may use, because interrupts prefer the first.
pub fn pin() -> Result<()> {
    let this = Pid::from_raw(0);
    let allowed =
        sched::sched_getaffinity(this).context("cannot read the affinity of the process")?;
    let last = (0..CpuSet::count())
        .rev()
        .find(|&cpu| allowed.is_set(cpu) == Ok(true))
        .context("the process may use no processor")?;
    let mut one = CpuSet::new();
    one.set(last)?;
    sched::sched_setaffinity(this, &one)
        .with_context(|| format!("cannot bind the process to processor {last}"))
}
