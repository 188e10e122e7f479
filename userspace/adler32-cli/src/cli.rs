// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The arguments.

use std::env;
use std::ffi::OsString;
use std::iter;
use std::num::NonZero;
use std::ops::Range;
use std::path::Path;
use std::path::PathBuf;

use adler32::BackendKind;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::Arg;
use clap::ArgAction;
use clap::ArgMatches;
use clap::CommandFactory;
use clap::FromArgMatches;
use clap::Parser;
use clap::Subcommand;

use crate::line::Form;
use crate::misuse;

const ADLER32: &str = "adler32";
const ADLER32SUM: &str = "adler32sum";
const SUM: &str = "sum";

/// The value of `--via` that leaves the choice to the command.
const AUTO: &str = "auto";

/// What the help says after the options.
const DETAILS: &str = "\
A line has the checksum in hexadecimal, a space, a space or an asterisk, and the
name. One that begins with a backslash has a name in which \\\\, \\n and \\r stand
for a backslash, a newline and a carriage return.

Lists may have lines of all forms. After one with two spaces before the name,
one with a single space, as xrdadler32 prints, counts as improperly formatted;
after one with a single space, a second one belongs to the name.

Who computes is the device /dev/adler32, its UPDATE ioctl, an AF_ALG socket or
the processor without the kernel. auto is the processor, which needs no module.
If AF_ALG is closed, afalg says why and takes the device, or the processor.

With --range, a line is like 05c801f0  0:5/9  name: a checksum, where its bytes
begin, how many there are and how many the file has. adler32 combine makes sums
of whole files of such lines, also of those of JSON.

Objects of JSON have file, adler32 and length; backend, who computed; for a part,
offset and size, too. Bytes of a name that are not UTF-8 become U+FFFD there.

The exit status is 0 if all files could be read and have the checksums of the
lists, else 1. Output and status are those of sha256sum and its like.";

/// A group of options in the help.
const CHECKING: &str = "Options for use with --check";

/// Adler-32 checksums of files, by the processor or by the adler32 kernel module.
///
/// Only --via device, ioctl and afalg need the module.
///
/// Called adler32sum, by a link of that name, it is adler32 sum, like sha256sum.
#[derive(Parser)]
#[command(name = ADLER32, version, infer_long_args = true, args_override_self = true, max_term_width = 80)]
struct Adler32 {
    #[command(subcommand)]
    command: Command,
}

// The program under this name. Its help is that of the options.
#[derive(Parser)]
#[command(name = ADLER32SUM, version, infer_long_args = true, args_override_self = true, max_term_width = 80)]
struct Adler32sum {
    #[command(flatten)]
    args: SumArgs,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    #[command(name = SUM, display_name = "adler32 sum")]
    Sum(SumArgs),
    /// Put the checksums of parts of files together, which sum --range printed
    ///
    /// Reads them from the standard input, in any order, and prints the checksum of each file, if its
    /// parts are all there and none is there twice. The exit status is 0 if all files could be put
    /// together, else 1.
    Combine(CombineArgs),
    /// Measure how fast each backend of this machine is
    ///
    /// A file is summed by each backend as sum does it, beside reading it alone; then pieces of memory. All
    /// take turns, and their answers are compared. A backend that is closed says why. Loads nothing. The
    /// exit status is 0 if all answers are the same, else 1.
    Bench(BenchArgs),
    /// Show what works on this machine, and the commands that mend what does not
    ///
    /// Loads nothing and changes nothing. Steps that begin with as root: are commands for root. The
    /// exit status is 0 if the device or AF_ALG works as things are, else 1; adler32 sum works in any
    /// case.
    Info(InfoArgs),
}

/// The arguments of `info`.
#[derive(clap::Args)]
pub struct InfoArgs {
    /// Print a JSON object for each finding: label, state, detail, fix
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `combine`.
#[derive(clap::Args)]
pub struct CombineArgs {
    /// Print a JSON object for each file
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `bench`.
#[derive(clap::Args)]
pub struct BenchArgs {
    /// The file to sum [default: a temporary one in memory]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The size of the temporary file and of the longest piece of memory
    #[arg(long, value_name = "MIB", default_value = "64")]
    pub size: NonZero<u16>,
    /// How often all take their turn
    #[arg(long, value_name = "NUMBER", default_value = "15")]
    pub rounds: NonZero<u16>,
    /// Print a JSON object, without a picture
    #[arg(long)]
    pub json: bool,
}

/// Print or check Adler-32 checksums.
#[derive(clap::Args)]
#[command(
    version,
    after_help = DETAILS,
    disable_help_flag = true,
    disable_version_flag = true,
    arg(last("help", ArgAction::HelpShort, "Print this help")),
    arg(last("version", ArgAction::Version, "Print the version"))
)]
pub struct SumArgs {
    /// Mark files with an asterisk, as read in binary mode; all are
    #[arg(short, long, overrides_with = "text")]
    binary: bool,
    /// Read lists of checksums from the FILEs and check them
    #[arg(short, long)]
    pub check: bool,
    /// Sum the regular files in FILEs that are folders, ordered by name; follows no links there
    #[arg(short, long)]
    pub recursive: bool,
    /// Print lines like ADLER32 (name) = 05c801f0, as BSD does
    #[arg(long)]
    tag: bool,
    /// Print a JSON object for each file, one a line
    #[arg(long)]
    pub json: bool,
    /// Sum LEN bytes from OFF on, or less at the end, for adler32 combine
    #[arg(long, value_name = "OFF:LEN", value_parser = parse_range)]
    pub range: Option<Range<u64>>,
    /// Do not mark files with an asterisk (default)
    #[arg(short, long, overrides_with = "binary")]
    text: bool,
    /// End each line by NUL, not newline, and do not escape names
    #[arg(short, long)]
    pub zero: bool,
    /// Print lines like 05c801f0 name, as xrdadler32 does
    #[arg(long)]
    xrootd: bool,
    /// Who computes
    #[arg(
        long,
        value_name = "BACKEND",
        default_value = AUTO,
        value_parser = PossibleValuesParser::new(BackendChoice::names()).map(|name| BackendChoice::named(&name)),
    )]
    pub via: BackendChoice,
    /// How many threads compute, for auto and cpu [default: one for each processor]
    #[arg(long, value_name = "NUMBER", value_parser = parse_threads)]
    pub threads: Option<NonZero<usize>>,
    /// Tell who computes, and why others do not
    #[arg(long)]
    pub debug: bool,
    /// Do not fail or tell if a file of a list does not exist
    #[arg(long, help_heading = CHECKING)]
    pub ignore_missing: bool,
    /// Do not print OK for each file that has its checksum
    #[arg(long, overrides_with_all = ["status", "warn"], help_heading = CHECKING)]
    pub quiet: bool,
    /// Print no results; the exit status has them
    #[arg(long, overrides_with_all = ["quiet", "warn"], help_heading = CHECKING)]
    pub status: bool,
    /// Fail if a line of a list is improperly formatted
    #[arg(long, help_heading = CHECKING)]
    pub strict: bool,
    /// Tell which lines of a list are improperly formatted
    #[arg(short, long, overrides_with_all = ["quiet", "status"], help_heading = CHECKING)]
    pub warn: bool,
    /// Files to read; none, or -, is the standard input
    #[arg(value_name = "FILE", trailing_var_arg = env::var_os("POSIXLY_CORRECT").is_some())]
    pub files: Vec<OsString>,
    /// Whether `-t` comes after `--tag`, the order in which the two do not go together.
    #[arg(skip)]
    text_after_tag: bool,
}

fn parse_range(text: &str) -> Result<Range<u64>, &'static str> {
    let numbers = text.split_once(':').and_then(|(offset, length)| {
        let (offset, length): (u64, u64) = (offset.parse().ok()?, length.parse().ok()?);
        Some(offset..offset.saturating_add(length))
    });
    numbers.ok_or("not two numbers of bytes with a colon between them")
}

/// To start the tens of thousands that a machine may have takes it half a minute.
fn parse_threads(text: &str) -> Result<NonZero<usize>, &'static str> {
    let threads = text.parse().ok();
    threads
        .filter(|threads: &NonZero<usize>| threads.get() <= 1000)
        .ok_or("not a number of threads, from 1 to 1000")
}

/// The options that stand last in the help.
fn last(name: &'static str, action: ArgAction, help: &'static str) -> Arg {
    let option = Arg::new(name).long(name).action(action).help(help);
    option.display_order(usize::MAX)
}

impl SumArgs {
    fn from_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::from_arg_matches(matches)?;
        args.text_after_tag =
            args.tag && args.text && matches.index_of("text") > matches.index_of("tag");
        Ok(args)
    }

    /// How to print lines.
    pub fn form(&self) -> Form {
        match self {
            Self { tag: true, .. } => Form::Tag,
            Self { xrootd: true, .. } => Form::Xrootd,
            Self { binary: true, .. } => Form::Binary,
            _ => Form::Text,
        }
    }

    /// Says which options do not go together, the first that coreutils would name.
    fn misuse(&self) -> Option<String> {
        let mode = self.binary || self.text;
        let wrong = [
            (self.text_after_tag, "--tag does not support --text mode"),
            (
                self.xrootd && (self.tag || mode),
                "--xrootd does not support --tag, --binary or --text",
            ),
            (
                self.json && (self.tag || self.xrootd || mode || self.zero),
                "--json does not support --tag, --xrootd, --binary, --text or --zero",
            ),
            (
                self.range.is_some() && (self.tag || self.xrootd || mode || self.zero),
                "--range does not support --tag, --xrootd, --binary, --text or --zero",
            ),
            (
                self.check && self.zero,
                "the --zero option is not supported when verifying checksums",
            ),
        ];
        let meaningless = [
            (self.tag, "--tag option is"),
            (mode, "--binary and --text options are"),
            (self.recursive, "--recursive option is"),
            (self.xrootd, "--xrootd option is"),
            (self.json, "--json option is"),
            (self.range.is_some(), "--range option is"),
        ];
        let meaningful = [
            (self.ignore_missing, "ignore-missing"),
            (self.status, "status"),
            (self.warn, "warn"),
            (self.quiet, "quiet"),
            (self.strict, "strict"),
        ];
        if let Some(text) = first(&wrong) {
            Some(text.to_owned())
        } else if self.check {
            first(&meaningless)
                .map(|options| format!("the {options} meaningless when verifying checksums"))
        } else {
            first(&meaningful).map(|option| {
                format!("the --{option} option is meaningful only when verifying checksums")
            })
        }
    }
}

/// Returns the first text whose condition holds.
fn first(texts: &[(bool, &'static str)]) -> Option<&'static str> {
    let found = texts.iter().find(|(holds, _)| *holds);
    found.map(|(_, text)| *text)
}

/// The backend to open, as `--via` names it.
#[derive(Clone, Copy)]
pub enum BackendChoice {
    /// The processor, which needs nothing of the kernel. To look at other backends first would take
    /// time, and at AF_ALG could load modules.
    Auto,
    /// This one.
    Only(BackendKind),
}

impl BackendChoice {
    fn names() -> impl Iterator<Item = &'static str> {
        iter::once(AUTO).chain(BackendKind::ALL.map(BackendKind::name))
    }

    fn named(name: &str) -> Self {
        let via = BackendKind::ALL.into_iter().find(|via| via.name() == name);
        via.map_or(Self::Auto, Self::Only)
    }

    /// The backend.
    pub fn kind(self) -> BackendKind {
        match self {
            Self::Auto => BackendKind::Cpu,
            Self::Only(via) => via,
        }
    }
}

/// The arguments of `adler32` and of `adler32sum`, of which manual pages and completions are made.
pub fn commands() -> [clap::Command; 2] {
    [Adler32::command(), Adler32sum::command()]
}

/// What the arguments ask for.
pub enum Asked {
    /// To run a command.
    Run(Command),
    /// To print a text: help or the version.
    Text(String),
}

/// A program called with arguments.
pub struct Invocation {
    /// The name of the program in messages.
    pub program: &'static str,
    /// What is asked for, or why that cannot be told.
    pub asked: Result<Asked, String>,
}

/// Reads the arguments, of which the first is the name by which the program is called.
pub fn parse(arguments: &[OsString]) -> Invocation {
    let called = arguments
        .first()
        .and_then(|path| Path::new(path).file_name());
    let (program, mut command) = if called == Some(ADLER32SUM.as_ref()) {
        (ADLER32SUM, Adler32sum::command())
    } else {
        (ADLER32, Adler32::command())
    };
    let asked = match command.try_get_matches_from_mut(arguments) {
        Ok(matches) => command_of(&matches).map(Asked::Run),
        Err(error) if !error.use_stderr() => Ok(Asked::Text(error.to_string())),
        Err(error) => Err(error),
    };
    let asked = asked.map_err(|error| {
        let subcommand = arguments
            .get(1)
            .and_then(|name| command.find_subcommand(name));
        let command = subcommand.unwrap_or(&command);
        let help = command.get_bin_name().unwrap_or(program);
        let misuse = misuse::describe(&error, command, arguments);
        format!("{misuse}\nTry '{help} --help' for more information.")
    });
    Invocation { program, asked }
}

fn command_of(matches: &ArgMatches) -> Result<Command, clap::Error> {
    let sum = match matches.subcommand() {
        Some((SUM, matches)) => matches,
        Some(_) => return Ok(Adler32::from_arg_matches(matches)?.command),
        None => matches,
    };
    let args = SumArgs::from_matches(sum)?;
    match args.misuse() {
        None => Ok(Command::Sum(args)),
        Some(misuse) => Err(clap::Error::raw(ErrorKind::ArgumentConflict, misuse)),
    }
}
