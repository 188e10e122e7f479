// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 info`.

use std::cmp::Reverse;
use std::fmt::Display;

use adler32::describe;
use adler32::host;
use adler32::host::Module;
use adler32::host::Node;
use adler32::AfAlg;
use adler32::Error;
use adler32::Session;

use crate::console::Console;

/// Prints the report. Returns whether the device or AF_ALG works.
pub fn run(console: &mut Console) -> bool {
    let module = Module::find();
    let device = Session::open().and_then(|session| session.info());
    let af_alg = af_alg(module);

    let mut report = Report::new(console);
    match (module, host::module_version()) {
        (Module::Loaded, Ok(version)) => {
            report.line("module", format_args!("loaded, version {version}"));
        }
        (Module::Loaded, Err(_)) => report.line("module", "loaded"),
        (absent, _) => report.error("module", absent, &Error::DeviceMissing(absent)),
    }
    match &device {
        Ok(info) => {
            report.line("implementation", &info.implementation);
            report.line("ABI version", info.abi_version);
            report.line("device", format_args!("usable{}", permissions()));
        }
        Err(error) => report.error("device", error.cause(), error),
    }
    match &af_alg {
        Ok(()) => report.line("AF_ALG", "open"),
        Err(error) => report.error("AF_ALG", error.cause(), error),
    }
    crypto_entries(&mut report);
    device.is_ok() || af_alg.is_ok()
}

/// Says whether AF_ALG works as things are. Loads nothing.
pub fn af_alg(module: Module) -> Result<(), Error> {
    match module {
        Module::Loaded => AfAlg::open().map(drop),
        // Opening the algorithm would load the module.
        absent => AfAlg::probe().and(Err(Error::AlgorithmMissing(absent))),
    }
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
fn crypto_entries(report: &mut Report) {
    const LABEL: &str = "/proc/crypto";
    match host::crypto_entries() {
        Ok(entries) if entries.is_empty() => report.line(LABEL, "no entry"),
        Ok(mut entries) => {
            entries.sort_by_key(|entry| Reverse(entry.priority));
            for entry in &entries {
                let (driver, module) = (&entry.driver, &entry.module);
                let priority = entry.priority;
                report.line(
                    LABEL,
                    format_args!("{driver}, priority {priority}, module {module}"),
                );
            }
        }
        Err(error) => report.line(LABEL, describe(&error)),
    }
}

/// Lines of a label and a value.
struct Report<'a> {
    console: &'a mut Console,
    remedies: Vec<String>,
}

impl<'a> Report<'a> {
    fn new(console: &'a mut Console) -> Self {
        Self {
            console,
            remedies: Vec::new(),
        }
    }

    fn line(&mut self, label: &str, value: impl Display) {
        let line = format!("{label:<16}{value}\n");
        self.console.print(line.as_bytes());
    }

    /// Prints a line and, unless a line before it had the same one, the remedy.
    fn error(&mut self, label: &str, value: impl Display, error: &Error) {
        self.line(label, value);
        if let Some(remedy) = error.remedy() {
            if !self.remedies.contains(&remedy) {
                self.line("", format_args!("fix: {remedy}"));
                self.remedies.push(remedy);
            }
        }
    }
}
