// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `adler32 info`.

use std::cmp::Reverse;
use std::fmt::Write;

use adler32::describe;
use adler32::host;
use adler32::host::Module;
use adler32::host::Node;
use adler32::processor;
use adler32::AfAlg;
use adler32::Error;
use adler32::Info;
use adler32::Session;
use serde_json::json;

use crate::cli::InfoArgs;
use crate::json;
use crate::output::Output;

/// How wide labels are, and lines at most, unless a single command is longer.
const INDENT: usize = 14;
const WIDTH: usize = 80;

/// Prints what works and how to mend what does not. Returns whether the device or AF_ALG works.
pub fn run(args: &InfoArgs, output: &mut Output) -> bool {
    let device = Session::open().and_then(|session| session.info());
    let af_alg = AfAlg::probe();

    let mut findings = vec![module(), self::device(&device)];
    findings.push(match &af_alg {
        Ok(()) => Finding::new("AF_ALG", "open", ""),
        Err(error) => Finding::failed("AF_ALG", error),
    });
    findings.extend(crypto_entries());
    findings.push(Finding::new(
        "adler32 sum",
        "works",
        format!("by the processor, {}", processor::fastest().name()),
    ));
    findings.extend(unseen());

    let mut told: Option<&str> = None;
    for finding in &findings {
        if args.json {
            output.print(&finding.json());
        } else {
            // The same remedy mends what depends on it.
            let remedy = finding.fix.as_deref().filter(|fix| told != Some(fix));
            output.print(finding.text(remedy).as_bytes());
            told = finding.fix.as_deref().or(told);
        }
    }
    device.is_ok() || af_alg.is_ok()
}

fn module() -> Finding {
    let module = Module::find(host::MODULE_NAME);
    let detail = match host::module_version() {
        Ok(version) if module.is_loaded() => format!("version {version}"),
        _ => module.detail(),
    };
    let finding = Finding::new("module", module.summary(), detail);
    finding.mended_by(module.remedy())
}

fn device(device: &Result<Info, Error>) -> Finding {
    const LABEL: &str = "device";
    let info = match device {
        Ok(info) => info,
        Err(error) => return Finding::failed(LABEL, error),
    };
    let mut detail = format!("{}, ABI {}", info.implementation, info.abi_version);
    if let Ok(Node {
        mode, owner, group, ..
    }) = Node::find()
    {
        let _ = write!(detail, ", mode {mode:04o}, owner {owner}:{group}");
    }
    Finding::new(LABEL, "works", detail)
}

/// Tells who serves the algorithm's name, the one that gets it first.
fn crypto_entries() -> Vec<Finding> {
    const LABEL: &str = "/proc/crypto";
    let mut entries = match host::crypto_entries() {
        Ok(entries) if entries.is_empty() => return vec![Finding::new(LABEL, "no entry", "")],
        Ok(entries) => entries,
        Err(error) => return vec![Finding::new(LABEL, "not readable", describe(&error))],
    };
    entries.sort_by_key(|entry| Reverse(entry.priority));
    let finding = |entry: &host::CryptoEntry| {
        let (driver, module) = (&entry.driver, &entry.module);
        let detail = format!("{driver}, priority {}, module {module}", entry.priority);
        Finding::new(LABEL, "entry", detail)
    };
    entries.iter().map(finding).collect()
}

/// Tells what only root would see.
fn unseen() -> Option<Finding> {
    let paths = host::unreadable();
    let paths: Vec<_> = paths.iter().map(|path| path.to_string_lossy()).collect();
    let finding = Finding::new("not seen", "not readable", paths.join(" "));
    (!paths.is_empty()).then(|| finding.mended_by(Some("as root: adler32 info".to_owned())))
}

/// What was found out about one thing.
struct Finding {
    label: &'static str,
    state: &'static str,
    detail: String,
    fix: Option<String>,
}

impl Finding {
    fn new(label: &'static str, state: &'static str, detail: impl Into<String>) -> Self {
        Self {
            label,
            state,
            detail: detail.into(),
            fix: None,
        }
    }

    fn failed(label: &'static str, error: &Error) -> Self {
        Self::new(label, error.summary(), error.detail()).mended_by(error.remedy())
    }

    fn mended_by(self, fix: Option<String>) -> Self {
        Self { fix, ..self }
    }

    fn json(&self) -> Vec<u8> {
        let Self {
            label,
            state,
            detail,
            fix,
        } = self;
        json::line(json!({ "label": label, "state": state, "detail": detail, "fix": fix }))
    }

    /// Returns lines for a terminal. The steps of the remedy are each on a line of its own, to be
    /// copied.
    fn text(&self, remedy: Option<&str>) -> String {
        let separator = if self.detail.is_empty() { "" } else { ": " };
        let found = format!("{}{separator}{}", self.state, self.detail);
        let mut text = String::new();
        for (number, line) in wrapped(&found, WIDTH - INDENT).iter().enumerate() {
            let label = if number == 0 { self.label } else { "" };
            let _ = writeln!(text, "{label:<INDENT$}{line}");
        }
        for (number, step) in remedy.iter().flat_map(|fix| fix.split("; ")).enumerate() {
            let label = if number == 0 { "  fix" } else { "" };
            let _ = writeln!(text, "{label:<INDENT$}{step}");
        }
        text
    }
}

/// Breaks text into lines of no more than `width`, unless a single word is longer.
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
