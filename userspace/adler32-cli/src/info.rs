// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 info`.

use std::cmp::Reverse;
use std::fmt::Write;

use adler32::describe;
use adler32::processor;
use adler32::Info;
use adler32::Session;
use adler32::AF_ALG;
use serde_json::json;

use crate::cli::InfoArgs;
use crate::diagnosis;
use crate::diagnosis::system;
use crate::diagnosis::system::Node;
use crate::diagnosis::Diagnosis;
use crate::diagnosis::Module;
use crate::diagnosis::MODULE_NAME;
use crate::exit_code::ExitCode;
use crate::json;
use crate::output::Output;

/// The width of labels, and of lines unless a single step is longer.
const INDENT: usize = 14;
const WIDTH: usize = 80;

/// Prints what works and how to fix what does not. Succeeds if the device or AF_ALG works.
pub fn run(args: &InfoArgs, output: &mut Output) -> ExitCode {
    let device = Session::open().and_then(|session| session.info());
    let device = device.map_err(Diagnosis::of);
    let af_alg = diagnosis::probe_af_alg();
    let code = match device.is_ok() || af_alg.is_ok() {
        true => ExitCode::Success,
        false => ExitCode::Negative,
    };

    let mut findings = vec![module(), self::device(device)];
    findings.push(match af_alg {
        Ok(()) => Diagnosis::new(AF_ALG, "open", ""),
        Err(diagnosis) => diagnosis,
    });
    findings.extend(crypto_entries());
    let implementation = processor::fastest().name();
    let detail = format!("by the processor, {implementation}");
    findings.push(Diagnosis::new("adler32 sum", "works", detail));
    findings.extend(unreadable());

    let mut printed: &[String] = &[];
    for finding in &findings {
        if args.json {
            output.print(&json(finding));
        } else {
            // Loading the module also fixes what depends on the module.
            let repeated = finding.fix == printed;
            output.print(text(finding, !repeated).as_bytes());
            if !finding.fix.is_empty() {
                printed = &finding.fix;
            }
        }
    }
    code
}

fn module() -> Diagnosis {
    let module = Module::find(MODULE_NAME);
    let detail = match system::read_line(format!("/sys/module/{MODULE_NAME}/version")) {
        Ok(version) if module.is_loaded() => format!("version {version}"),
        _ => module.detail(),
    };
    Diagnosis::new("module", module.summary(), detail).with(module.fix())
}

fn device(device: Result<Info, Diagnosis>) -> Diagnosis {
    const SUBJECT: &str = "device";
    let info = match device {
        Ok(info) => info,
        Err(diagnosis) => {
            return Diagnosis {
                subject: SUBJECT,
                ..diagnosis
            }
        }
    };
    let mut detail = format!("{}, ABI {}", info.implementation, info.abi_version);
    if let Ok(Node {
        mode, owner, group, ..
    }) = Node::find()
    {
        let _ = write!(detail, ", mode {mode:04o}, owner {owner}:{group}");
    }
    Diagnosis::new(SUBJECT, "works", detail)
}

/// Returns the drivers of the algorithm. The first one is used by default.
fn crypto_entries() -> Vec<Diagnosis> {
    const SUBJECT: &str = "/proc/crypto";
    let mut entries = match system::crypto_entries() {
        Ok(entries) if entries.is_empty() => return vec![Diagnosis::new(SUBJECT, "no entry", "")],
        Ok(entries) => entries,
        Err(error) => return vec![Diagnosis::new(SUBJECT, "not readable", describe(&error))],
    };
    entries.sort_by_key(|entry| Reverse(entry.priority));
    let finding = |entry: &system::CryptoEntry| {
        let (driver, module) = (&entry.driver, &entry.module);
        let detail = format!("{driver}, priority {}, module {module}", entry.priority);
        Diagnosis::new(SUBJECT, "entry", detail)
    };
    entries.iter().map(finding).collect()
}

/// Reports files that only root can read.
fn unreadable() -> Option<Diagnosis> {
    let paths = diagnosis::unreadable();
    let paths: Vec<_> = paths.iter().map(|path| path.to_string_lossy()).collect();
    let finding = Diagnosis::new("not seen", "not readable", paths.join(" "));
    (!paths.is_empty()).then(|| finding.with(vec!["as root: adler32 info".to_owned()]))
}

fn json(finding: &Diagnosis) -> Vec<u8> {
    let Diagnosis {
        subject,
        state,
        detail,
        fix,
    } = finding;
    let fix = (!fix.is_empty()).then(|| fix.join("; "));
    json::line(json!({ "label": subject, "state": state, "detail": detail, "fix": fix }))
}

/// Returns lines for a terminal. Each step of the fix has its own line, which can be copied.
fn text(finding: &Diagnosis, with_fix: bool) -> String {
    let separator = if finding.detail.is_empty() { "" } else { ": " };
    let found = format!("{}{separator}{}", finding.state, finding.detail);
    let mut text = String::new();
    for (number, line) in wrapped(&found, WIDTH - INDENT).iter().enumerate() {
        let label = if number == 0 { finding.subject } else { "" };
        let _ = writeln!(text, "{label:<INDENT$}{line}");
    }
    for (number, step) in finding.fix.iter().filter(|_| with_fix).enumerate() {
        let label = if number == 0 { "  fix" } else { "" };
        let _ = writeln!(text, "{label:<INDENT$}{step}");
    }
    text
}

/// Breaks text into lines of at most `width` bytes. A longer word gets a line of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrapped("ab c defghij k", 4), ["ab c", "defghij", "k"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}
