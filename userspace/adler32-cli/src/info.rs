// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 info`.

use std::cmp::Reverse;
use std::fmt::Display;
use std::io;
use std::io::Write;
use std::process::ExitCode;

use adler32::describe;
use adler32::host;
use adler32::host::Module;
use adler32::host::Node;
use adler32::AfAlg;
use adler32::Error;
use adler32::Session;

/// Prints the report. Fails if it cannot print.
pub fn run() -> io::Result<ExitCode> {
    let module = Module::find();
    let device = Session::open().and_then(|session| session.info());
    let af_alg = match module {
        Module::Loaded => AfAlg::open().map(drop),
        // Opening the algorithm would load the module.
        absent => AfAlg::probe().and(Err(Error::AlgorithmMissing(absent))),
    };

    let mut report = Report::new();
    match (module, host::module_version()) {
        (Module::Loaded, Ok(version)) => {
            report.line("module", format_args!("loaded, version {version}"))?;
        }
        (Module::Loaded, Err(_)) => report.line("module", "loaded")?,
        (absent, _) => report.error("module", absent, &Error::DeviceMissing(absent))?,
    }
    match &device {
        Ok(info) => {
            report.line("implementation", &info.implementation)?;
            report.line("ABI version", info.abi_version)?;
            report.line("device", format_args!("usable{}", permissions()))?;
        }
        Err(error) => report.error("device", error.cause(), error)?,
    }
    match &af_alg {
        Ok(()) => report.line("AF_ALG", "open")?,
        Err(error) => report.error("AF_ALG", error.cause(), error)?,
    }
    crypto_entries(&mut report)?;

    let door = match (&device, &af_alg) {
        (Ok(_), _) => "device",
        (_, Ok(())) => "afalg",
        (_, Err(Error::AlgorithmMissing(Module::NotLoaded))) => "afalg, which loads the module",
        _ => "cpu",
    };
    report.line("sum uses", door)?;
    report.out.flush()?;
    Ok(ExitCode::from(u8::from(device.is_err() && af_alg.is_err())))
}

fn permissions() -> String {
    match Node::find() {
        Ok(Node {
            mode, owner, group, ..
        }) => format!(", mode {mode:04o}, owner {owner}:{group}"),
        Err(_) => String::new(),
    }
}

/// Lists who serves the algorithm's name, the one that gets it first.
fn crypto_entries(report: &mut Report) -> io::Result<()> {
    const LABEL: &str = "/proc/crypto";
    match host::crypto_entries() {
        Ok(entries) if entries.is_empty() => report.line(LABEL, "no entry"),
        Ok(mut entries) => {
            entries.sort_by_key(|entry| Reverse(entry.priority));
            entries.iter().try_for_each(|entry| {
                let (driver, module) = (&entry.driver, &entry.module);
                let priority = entry.priority;
                report.line(
                    LABEL,
                    format_args!("{driver}, priority {priority}, module {module}"),
                )
            })
        }
        Err(error) => report.line(LABEL, describe(&error)),
    }
}

/// Lines of a label and a value.
struct Report {
    out: io::StdoutLock<'static>,
    remedies: Vec<String>,
}

impl Report {
    fn new() -> Self {
        Self {
            out: io::stdout().lock(),
            remedies: Vec::new(),
        }
    }

    fn line(&mut self, label: &str, value: impl Display) -> io::Result<()> {
        writeln!(self.out, "{label:<16}{value}")
    }

    /// Prints a line and, unless a line before it had the same one, the remedy.
    fn error(&mut self, label: &str, value: impl Display, error: &Error) -> io::Result<()> {
        self.line(label, value)?;
        if let Some(remedy) = error.remedy() {
            if !self.remedies.contains(&remedy) {
                self.line("", format_args!("fix: {remedy}"))?;
                self.remedies.push(remedy);
            }
        }
        Ok(())
    }
}
