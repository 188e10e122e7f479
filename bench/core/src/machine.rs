// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Where the figures come from.

use std::fs;

use anyhow::Context;
use anyhow::Result;
use nix::sched;
use nix::sched::CpuSet;
use nix::unistd::Pid;
use serde::Serialize;

/// What figures depend on, other than the code.
#[derive(Debug, Serialize)]
pub struct Machine {
    pub processor: String,
    pub kernel: String,
    /// Processes that wanted to run in the last minute, on average.
    pub load: f64,
    pub transparent_huge_pages: String,
    pub rustc: &'static str,
    pub cc: &'static str,
    pub peers: &'static str,
}

impl Machine {
    pub fn this() -> Result<Self> {
        let processors = read("/proc/cpuinfo")?;
        let cpuinfo = |label: &str| {
            let line = processors.lines().find(|line| line.starts_with(label))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        // Virtual machines often have names that say little.
        let processor = format!(
            "{} (family {}, model {})",
            cpuinfo("model name").context("/proc/cpuinfo names no processor")?,
            cpuinfo("cpu family").unwrap_or_default(),
            cpuinfo("model\t").unwrap_or_default()
        );
        let load = read("/proc/loadavg")?;
        let load = load.split(' ').next().unwrap_or_default();
        Ok(Self {
            processor,
            kernel: read("/proc/sys/kernel/osrelease")?,
            load: load.parse().context("/proc/loadavg")?,
            transparent_huge_pages: read("/sys/kernel/mm/transparent_hugepage/enabled")
                .unwrap_or("not there".to_owned()),
            rustc: env!("BENCH_RUSTC"),
            cc: env!("BENCH_CC"),
            peers: env!("BENCH_PEERS"),
        })
    }

    pub fn print(&self) {
        println!("{}, Linux {}", self.processor, self.kernel);
        println!("{}; {}", self.rustc, self.cc);
        println!("{}", self.peers);
        println!("load {}", self.load);
    }
}

fn read(file: &str) -> Result<String> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    Ok(text.trim_end().to_owned())
}

/// Stays on one processor: the last that the process may use, as interrupts prefer the first.
pub fn pin() -> Result<()> {
    let this = Pid::from_raw(0);
    let allowed = sched::sched_getaffinity(this).context("cannot read the processors allowed")?;
    let last = (0..CpuSet::count())
        .rev()
        .find(|&cpu| allowed.is_set(cpu) == Ok(true))
        .context("no processor is allowed")?;
    let mut one = CpuSet::new();
    one.set(last)?;
    sched::sched_setaffinity(this, &one).with_context(|| format!("cannot stay on processor {last}"))
}
