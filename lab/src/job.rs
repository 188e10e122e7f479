// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the host sends to the guest, and what the guest sends back.

use anyhow::Context;
use anyhow::Result;

/// The path of the init program in the guest.
pub const INIT: &str = "/lab/init";
/// The path of the job file in the guest.
pub const FILE: &str = "/lab/job";
/// The default value of PATH in the guest and in the root.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// A kernel parameter, which init finds in its environment: the guest is User Mode Linux.
pub const UML: &str = "lab_uml";
/// The tag of the file system that holds the guest's root.
pub const ROOT_TAG: &str = "root";
/// The tag of the same file system for guests of arm64, which mount it once more.
pub const LOWER_TAG: &str = "lower";
/// The tag of the file system that holds the current directory.
pub const DIR_TAG: &str = "directory";

/// The numbers of the ports: virtio-serial ports, or serial lines in User Mode Linux.
pub mod port {
    /// Exists only in User Mode Linux.
    pub const TERMINAL: u32 = 0;
    pub const STDOUT: u32 = 1;
    pub const STDERR: u32 = 2;
    /// Lines: [`super::Report`] to the host, `ROWS COLUMNS` to the guest.
    pub const CONTROL: u32 = 3;
}

/// One command to run in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Whether the command runs on a terminal. Otherwise its input is empty, and its output goes
    /// through pipes.
    pub terminal: bool,
    /// The value of TERM.
    pub term: String,
    /// The current directory, which the guest sees at the same path.
    pub dir: String,
    /// The value of PATH.
    pub path: String,
    /// The program and its arguments.
    pub command: Vec<String>,
}

impl Job {
    /// Returns the contents of the job file. Each field ends with a NUL, which no field can
    /// contain.
    pub fn to_bytes(&self) -> Vec<u8> {
        let terminal = if self.terminal { "terminal" } else { "pipes" };
        [terminal, &self.term, &self.dir, &self.path]
            .into_iter()
            .chain(self.command.iter().map(String::as_str))
            .flat_map(|field| field.bytes().chain([0]))
            .collect()
    }

    /// Parses what [`Self::to_bytes`] returned.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        let text = String::from_utf8(bytes)?;
        let mut fields = text.split_terminator('\0').map(str::to_owned);
        let mut next = || fields.next().context("the job is truncated");
        Ok(Self {
            terminal: next()? == "terminal",
            term: next()?,
            dir: next()?,
            path: next()?,
            command: fields.collect(),
        })
    }
}

/// A line from the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The command starts now, or on a terminal when the host has sent the terminal's size.
    Ready,
    /// The guest could not be set up.
    Failed(String),
    /// The command's exit status.
    Exit(i32),
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ready => write!(f, "ready"),
            Self::Failed(why) => write!(f, "failed {}", why.replace('\n', " ")),
            Self::Exit(status) => write!(f, "exit {status}"),
        }
    }
}

impl std::str::FromStr for Report {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self> {
        Ok(match line.split_once(' ') {
            None if line == "ready" => Self::Ready,
            Some(("failed", why)) => Self::Failed(why.to_owned()),
            Some(("exit", status)) => Self::Exit(status.parse()?),
            _ => anyhow::bail!("unknown report from the guest: `{line}`"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_parsed_as_written() {
        let job = Job {
            terminal: false,
            term: String::new(),
            dir: "/home/me/my module".into(),
            path: "/usr/bin".into(),
            command: vec![
                "printf".into(),
                String::new(),
                "a\nb 'c' \"d\"\\".into(),
                String::new(),
            ],
        };
        assert_eq!(Job::from_bytes(job.to_bytes()).unwrap(), job);
    }

    #[test]
    fn a_report_is_parsed_as_written() {
        for report in [
            Report::Ready,
            Report::Failed("no overlay".into()),
            Report::Exit(137),
        ] {
            assert_eq!(report.to_string().parse::<Report>().unwrap(), report);
        }
        assert!("exit".parse::<Report>().is_err());
    }
}
