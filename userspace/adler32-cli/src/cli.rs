// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The command line.

use std::env;
use std::ffi::OsString;
use std::iter;
use std::num::NonZero;
use std::ops::Range;
use std::path::Path;
use std::path::PathBuf;

use adler32::BackendKind;
use anyhow::anyhow;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::value_parser;
use clap::Arg;
use clap::ArgAction;
use clap::ArgMatches;
use clap::CommandFactory;
use clap::FromArgMatches;
use clap::Parser;
use clap::Subcommand;

use crate::attribute::Format;
use crate::line::End;
use crate::line::Form;
use crate::line::Header;
use crate::misuse;

const ADLER32: &str = "adler32";
/// The program that behaves like sha256sum.
pub const ADLER32SUM: &str = "adler32sum";
const SUM: &str = "sum";

/// The name that stands for the standard input.
pub const STDIN: &str = "-";

/// The value of `--via` that leaves the choice to the command.
const AUTO: &str = "auto";

/// The part of the help after the options.
const DETAILS: &str = "\
An output line contains the checksum in hexadecimal, a space, a second space or
an asterisk, and the name. If a line begins with a backslash, then \\\\, \\n and
\\r in the name stand for a backslash, a newline and a carriage return.

A list for --check may contain lines of this form, and of the forms of --tag and
of --xrootd. Lines with one space before the name, as of --xrootd, and lines
with two must not be mixed: the first such line determines the form of all lines
after it. After a line with two spaces, a line with one is improperly formatted.
After a line with one space, a second space belongs to the name.

With 'adler32 sum -c', a list may also contain lines of --json, and lines as
xrdcp, xrdfs, gfal-sum, dCache, Rucio, EOS and 'curl -I' print them: leading
zeros of a checksum may be missing, a checksum may have a label such as adler32:
or ad:, and it may follow the name. If a name could be the checksum as well, the
line is an error. With --strict, or under the name adler32sum, all these lines
are improperly formatted. Lines of --range are for 'adler32 combine'; in a list
for 'adler32 sum -c', they are errors.

With --xattr, checksums are in the attribute user.XrdCks.adler32 of XRootD, or
for the format storm, in user.storm.checksum.adler32. The one of XRootD contains
the time of modification of the file. If that time is still the same, and nothing
else changed since the attribute was written, the file is not read. A computed
checksum is stored only if the file did not change in the meantime.

The backends of --via are: device, which writes to /dev/adler32; ioctl, which
uses the UPDATE ioctl of /dev/adler32; afalg, which uses an AF_ALG socket; and
cpu, which computes in this program and needs no kernel module. auto is the same
as cpu. If AF_ALG is unavailable, afalg prints the reason and uses the device
instead, or else the processor. If the device is unavailable, device and ioctl
fail. AF_ALG is deprecated since Linux 7.2; use device instead.

With --range, output lines look like '05c801f0  0:5/9  name'. They contain the
checksum, the offset and the length of the part, the size of the file, and its
name. 'adler32 combine' computes the checksums of whole files from these lines,
or from the lines of --range --json.

JSON objects contain file, adler32, length and backend; with --range, they also
contain offset and size, which is the size of the file. Bytes of a name that are
not UTF-8 are replaced by U+FFFD.

If the work takes more than a second, a progress bar appears on the standard
error, provided that it is a terminal. With --quiet and --status, no bar
appears.

With the options of sha256sum, the output and the messages are the same as those
of sha256sum, except that names with control characters are quoted in results of
--check, as by coreutils since 9.11.

The exit status is 0 if all files could be read and, with --check, if at least
one file was checked and all checksums matched. It is 1 if a checksum did not
match. It is 2 for all other errors, such as a file that cannot be read, wrong
options, or an improperly formatted line with --strict. Under the name
adler32sum, it is 1 for all errors, as for sha256sum.";

/// A group of options in the help.
const CHECKING: &str = "Options for use with --check";

/// Compute and check Adler-32 checksums of files.
///
/// The processor computes the checksums. The adler32 kernel module is needed only for 'adler32 sum'
/// with --via device, --via ioctl or --via afalg.
///
/// Under the name adler32sum, this program behaves like sha256sum.
#[derive(Parser)]
#[command(
    name = ADLER32,
    version,
    infer_long_args = true,
    args_override_self = true,
    max_term_width = 80
)]
struct Adler32 {
    #[command(subcommand)]
    command: Command,
}

// The program under the other name. It shows the help of `SumArgs`.
#[derive(Parser)]
#[command(
    name = ADLER32SUM,
    version,
    infer_long_args = true,
    args_override_self = true,
    max_term_width = 80
)]
struct Adler32sum {
    #[command(flatten)]
    args: SumArgs,
}

/// A subcommand.
#[derive(Subcommand)]
pub enum Command {
    #[command(name = SUM, display_name = "adler32 sum")]
    Sum(SumArgs),
    /// Compute checksums of files from the checksums of their parts
    ///
    /// Reads the lines that 'adler32 sum --range' prints, in any order, from the standard input.
    /// Prints the checksum of each file. If parts of a file are missing or overlap, an error is
    /// printed in place of its checksum. If a line is not a part, no checksum is printed. The exit
    /// status is 0 if the checksums of all files could be computed. Otherwise, it is 2.
    Combine(CombineArgs),
    /// Copy files, and print the checksums of the copies
    ///
    /// Sums the bytes while copying them, so that no second pass over the file is needed. A copy
    /// gets its name only when it is complete and on the disk; until then, nothing is changed. A
    /// file that changes while it is copied is an error. If SOURCE is -, the standard input is
    /// copied. The exit status is 0 if all files were copied. Otherwise, it is 1.
    #[command(override_usage = "\
adler32 copy [OPTIONS] SOURCE DESTINATION
       adler32 copy [OPTIONS] SOURCE... DIRECTORY")]
    Copy(CopyArgs),
    /// Compute a checksum for an XRootD server
    ///
    /// Is called by the server, with the configuration 'xrootd.chksum max 4 adler32
    /// /usr/bin/adler32 xrootd'. Prints the checksum. If it cannot be computed, prints the reason
    /// in its place, which the server sends to the client. The exit status is 0 if the checksum
    /// could be computed. Otherwise, it is an error number, which the server translates for the
    /// client.
    Xrootd(XrootdArgs),
    /// Measure how fast each backend is on this machine
    ///
    /// First, each backend sums a file, as 'adler32 sum' does; the time of reading the file alone
    /// is measured for comparison. Then, each backend sums data in memory. The backends take turns,
    /// and all checksums must be equal. If a backend is unavailable, the reason is printed. No
    /// kernel module is loaded. The exit status is 0 if all checksums are equal. Otherwise, it is
    /// 2.
    Bench(BenchArgs),
    /// Show what works on this machine, and how to fix what does not
    ///
    /// Loads and changes nothing. Commands after 'as root:' must be run as root. The exit status is
    /// 0 if the device or AF_ALG can be used now. If neither can be used, it is 1; 'adler32 sum'
    /// works nevertheless. For other errors, it is 2.
    Info(InfoArgs),
}

/// The arguments of `info`.
#[derive(clap::Args)]
pub struct InfoArgs {
    /// Print one JSON object per line, with label, state, detail and fix
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `combine`.
#[derive(clap::Args)]
pub struct CombineArgs {
    /// Print one JSON object per file
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `copy`.
#[derive(clap::Args)]
pub struct CopyArgs {
    /// Preserve owner, mode, extended attributes and times
    #[arg(short, long)]
    pub preserve: bool,
    /// Read each copy again, from the disk if possible, before it replaces an older file
    #[arg(long)]
    pub verify: bool,
    /// Store the checksum in an extended attribute of the copy
    #[arg(
        long,
        value_name = "FORMAT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "xrootd",
        value_enum
    )]
    pub xattr: Option<Format>,
    /// Print one JSON object per copy
    #[arg(long)]
    pub json: bool,
    /// Files to copy, and the name of the copy or a directory
    #[arg(value_name = "FILE", required = true, num_args = 2..)]
    pub files: Vec<OsString>,
}

/// The arguments of `xrootd`.
#[derive(clap::Args)]
#[command(override_usage = "\
adler32 xrootd [OPTIONS] PATH
       adler32 xrootd [OPTIONS] adler32 PATH TIDENT [USER]")]
pub struct XrootdArgs {
    /// Directory that paths are below [default: oss.localroot of the server]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Take the checksum from an extended attribute, or store it there
    #[arg(
        long,
        value_name = "FORMAT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "xrootd",
        value_enum
    )]
    pub xattr: Option<Format>,
    /// Number of threads
    #[arg(long, value_name = "NUMBER", value_parser = parse_threads, default_value = "1")]
    pub threads: NonZero<usize>,
    /// Path of the file; or the type of the checksum, the path, the client and the user, as a
    /// server with several types of checksums passes them
    #[arg(value_name = "PATH", required = true, trailing_var_arg = true)]
    pub operands: Vec<OsString>,
}

/// The arguments of `bench`.
#[derive(clap::Args)]
pub struct BenchArgs {
    /// File to sum [default: a temporary file in memory]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Size of the temporary file and of the longest data in memory, in MiB
    #[arg(
        long,
        value_name = "MIB",
        default_value = "64",
        value_parser = value_parser!(u16).range(1..),
    )]
    pub size: u16,
    /// Number of rounds, in each of which every backend takes its turn
    #[arg(
        long,
        value_name = "NUMBER",
        default_value = "15",
        value_parser = value_parser!(u16).range(1..),
    )]
    pub rounds: u16,
    /// Print a JSON object instead of tables and bars
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
    /// Print an asterisk before each name; files are read in the same way
    #[arg(short, long, overrides_with = "text")]
    binary: bool,
    /// Read checksums from the FILEs and check them
    #[arg(short, long)]
    pub check: bool,
    /// For a FILE that is a directory, sum all regular files below it, sorted by name; do not
    /// follow symbolic links in it
    #[arg(short, long)]
    pub recursive: bool,
    /// With --recursive, leave out directories on other file systems; -x only as 'adler32 sum -x'
    #[arg(short = 'x', long)]
    pub one_file_system: bool,
    /// Read the names of the files to sum from FILE, in which each name ends with NUL
    #[arg(long, value_name = "FILE")]
    pub files0_from: Option<OsString>,
    /// Print lines like 'ADLER32 (name) = 05c801f0', as BSD tools do
    #[arg(long)]
    tag: bool,
    /// Print one JSON object per file, each on its own line
    #[arg(long)]
    pub json: bool,
    /// Sum only LEN bytes from byte offset OFF on, or fewer if the file ends first
    #[arg(long, value_name = "OFF:LEN", value_parser = parse_range)]
    pub range: Option<Range<u64>>,
    /// Print no asterisk before names (default)
    #[arg(short, long, overrides_with = "binary")]
    text: bool,
    /// End each line with NUL instead of newline, and do not escape names
    #[arg(short, long)]
    pub zero: bool,
    /// Print lines like '05c801f0 name', as xrdadler32 does
    #[arg(long)]
    xrootd: bool,
    /// Print only the checksum on each line
    #[arg(long)]
    no_names: bool,
    /// Print the checksum as this field of an HTTP header
    #[arg(long, value_name = "FIELD", value_enum)]
    header: Option<Header>,
    /// Take checksums from extended attributes, and store those that had to be computed. With
    /// --check, check the FILEs against the stored checksums
    #[arg(
        long,
        value_name = "FORMAT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "xrootd",
        value_enum
    )]
    pub xattr: Option<Format>,
    /// With --xattr, compute and store all checksums again
    #[arg(long)]
    pub force: bool,
    /// Select the backend that computes the checksum
    #[arg(
        long,
        value_name = "BACKEND",
        default_value = AUTO,
        value_parser = PossibleValuesParser::new(BackendChoice::names())
            .map(|name| BackendChoice::named(&name)),
    )]
    pub via: BackendChoice,
    /// Number of threads, for auto and cpu only [default: one per processor]
    #[arg(long, value_name = "NUMBER", value_parser = parse_threads)]
    pub threads: Option<NonZero<usize>>,
    /// Report which backend is used, and why the others are not
    #[arg(long)]
    pub debug: bool,
    /// Also report the files below DIR that no list contains
    #[arg(long, value_name = "DIR", help_heading = CHECKING)]
    pub audit: Vec<PathBuf>,
    /// Find the files of a list relative to the directory of the list
    #[arg(long, help_heading = CHECKING)]
    pub relative: bool,
    /// Do not fail or print a message for a listed file that does not exist
    #[arg(long, help_heading = CHECKING)]
    pub ignore_missing: bool,
    /// Do not print OK for each file that matches
    #[arg(long, overrides_with_all = ["status", "warn"], help_heading = CHECKING)]
    pub quiet: bool,
    /// Print no results, but report them by the exit status
    #[arg(long, overrides_with_all = ["quiet", "warn"], help_heading = CHECKING)]
    pub status: bool,
    /// File for checksums without a name, as xrdfs and curl print them
    #[arg(long, value_name = "FILE", help_heading = CHECKING)]
    pub name: Option<OsString>,
    /// Fail if a line of a list is improperly formatted, and accept only the forms of sha256sum
    #[arg(long, help_heading = CHECKING)]
    pub strict: bool,
    /// Warn about each improperly formatted line of a list
    #[arg(short, long, overrides_with_all = ["quiet", "status"], help_heading = CHECKING)]
    pub warn: bool,
    /// Files to read; without a FILE or for -, the standard input
    #[arg(value_name = "FILE", trailing_var_arg = env::var_os("POSIXLY_CORRECT").is_some())]
    pub files: Vec<OsString>,
    /// Whether `-t` comes after `--tag`. Only in this order, the two are an error.
    #[arg(skip)]
    text_after_tag: bool,
    /// Whether the program is `adler32sum`, which does what sha256sum does.
    #[arg(skip)]
    pub as_sha256sum: bool,
    /// Whether lists may have other forms than those of sha256sum.
    #[arg(skip)]
    pub field_forms: bool,
}

fn parse_range(text: &str) -> Result<Range<u64>, &'static str> {
    let numbers = text.split_once(':').and_then(|(offset, length)| {
        let (offset, length): (u64, u64) = (offset.parse().ok()?, length.parse().ok()?);
        Some(offset..offset.saturating_add(length))
    });
    numbers.ok_or("not two numbers of bytes with a colon between them")
}

/// Parses a number of threads. A system may allow tens of thousands, which take half a minute to
/// start.
fn parse_threads(text: &str) -> Result<NonZero<usize>, &'static str> {
    let threads = text.parse().ok();
    threads
        .filter(|threads: &NonZero<usize>| threads.get() <= 1000)
        .ok_or("not a number of threads, from 1 to 1000")
}

/// Returns an option that is last in the help.
fn last(name: &'static str, action: ArgAction, help: &'static str) -> Arg {
    let option = Arg::new(name).long(name).action(action).help(help);
    option.display_order(usize::MAX)
}

impl SumArgs {
    fn from_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::from_arg_matches(matches)?;
        args.text_after_tag =
            args.tag && args.text && matches.index_of("text") > matches.index_of("tag");
        if args.files.is_empty() && args.files0_from.is_none() {
            args.files.push(STDIN.into());
        }
        Ok(args)
    }

    /// Returns the form of the lines to print.
    pub fn form(&self) -> Form {
        match self {
            Self { tag: true, .. } => Form::Tag,
            Self { xrootd: true, .. } => Form::Xrootd,
            Self { no_names: true, .. } => Form::Bare,
            Self {
                header: Some(header),
                ..
            } => Form::Header(*header),
            Self { binary: true, .. } => Form::Binary,
            _ => Form::Text,
        }
    }

    /// Returns the end of the lines to print.
    pub fn end(&self) -> End {
        match self.zero {
            true => End::Nul,
            false => End::Newline,
        }
    }

    /// Describes the first conflict of options, in the order in which coreutils reports them.
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
                self.no_names
                    && (self.tag || self.xrootd || self.json || self.range.is_some() || mode),
                "--no-names does not support --tag, --xrootd, --json, --range, --binary or --text",
            ),
            (
                self.range.is_some() && (self.tag || self.xrootd || mode || self.zero),
                "--range does not support --tag, --xrootd, --binary, --text or --zero",
            ),
            (
                self.header.is_some()
                    && (self.tag
                        || self.xrootd
                        || self.no_names
                        || self.json
                        || self.range.is_some()
                        || mode),
                "--header does not support --tag, --xrootd, --no-names, --json, --range, --binary or \
                 --text",
            ),
            (
                self.xattr.is_some()
                    && (self.range.is_some()
                        || self.name.is_some()
                        || !self.audit.is_empty()
                        || self.relative),
                "--xattr does not support --range, --name, --audit or --relative",
            ),
            (
                self.files0_from.is_some() && !self.files.is_empty(),
                "file operands cannot be combined with --files0-from",
            ),
            (
                self.one_file_system && !self.recursive && self.audit.is_empty(),
                "the --one-file-system option is meaningful only with --recursive or --audit",
            ),
            (
                self.force && (self.xattr.is_none() || self.check),
                "the --force option is meaningful only with --xattr and without --check",
            ),
            (
                self.check && self.zero,
                "the --zero option is not supported when verifying checksums",
            ),
        ];
        let meaningless = [
            (self.tag, "--tag option is"),
            (mode, "--binary and --text options are"),
            (
                self.recursive && self.xattr.is_none(),
                "--recursive option is",
            ),
            (
                self.files0_from.is_some() && self.xattr.is_none(),
                "--files0-from option is",
            ),
            (self.xrootd, "--xrootd option is"),
            (self.no_names, "--no-names option is"),
            (self.header.is_some(), "--header option is"),
            (self.json && self.xattr.is_none(), "--json option is"),
            (self.range.is_some(), "--range option is"),
        ];
        let meaningful = [
            (self.ignore_missing, "ignore-missing"),
            (self.status, "status"),
            (self.warn, "warn"),
            (self.quiet, "quiet"),
            (self.strict, "strict"),
            (self.name.is_some(), "name"),
            (!self.audit.is_empty(), "audit"),
            (self.relative, "relative"),
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

/// The value of `--via`.
#[derive(Clone, Copy)]
pub enum BackendChoice {
    /// The processor, which needs no module. Looking for other backends first would take time, and
    /// looking for AF_ALG could load modules.
    Auto,
    /// This backend.
    Only(BackendKind),
}

impl BackendChoice {
    fn names() -> impl Iterator<Item = &'static str> {
        iter::once(AUTO).chain(BackendKind::ALL.map(BackendKind::name))
    }

    fn named(name: &str) -> Self {
        let kind = BackendKind::ALL
            .into_iter()
            .find(|kind| kind.name() == name);
        kind.map_or(Self::Auto, Self::Only)
    }

    /// Returns the backend to open.
    pub fn kind(self) -> BackendKind {
        match self {
            Self::Auto => BackendKind::Cpu,
            Self::Only(kind) => kind,
        }
    }
}

/// Returns the commands `adler32` and `adler32sum`, from which manual pages and completions are
/// made.
pub fn commands() -> [clap::Command; 2] {
    // sha256sum has neither of these short options.
    let adler32sum = Adler32sum::command().mut_arg("one_file_system", |option| option.short(None));
    let help = |help: Arg| help.short_alias('h');
    let adler32 = Adler32::command().mut_subcommand(SUM, |sum| sum.mut_arg("help", help));
    [adler32, adler32sum]
}

/// The request in the arguments.
pub enum Asked {
    /// Run a command.
    Run(Command),
    /// Print a text: help or the version.
    Text(String),
}

/// The name and the arguments of the program.
pub struct Invocation {
    /// The name of the program in messages.
    pub program: &'static str,
    /// The request, or the error in the arguments.
    pub asked: anyhow::Result<Asked>,
}

/// Parses the arguments. The first argument is the name of the program.
pub fn parse(arguments: &[OsString]) -> Invocation {
    let called = arguments
        .first()
        .and_then(|path| Path::new(path).file_name());
    let [adler32, adler32sum] = commands();
    let (program, mut command) = match called == Some(ADLER32SUM.as_ref()) {
        true => (ADLER32SUM, adler32sum),
        false => (ADLER32, adler32),
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
        anyhow!("{misuse}\nTry '{help} --help' for more information.")
    });
    Invocation { program, asked }
}

fn command_of(matches: &ArgMatches) -> Result<Command, clap::Error> {
    let sum = match matches.subcommand() {
        Some((SUM, matches)) => matches,
        Some(_) => return Ok(Adler32::from_arg_matches(matches)?.command),
        None => matches,
    };
    let mut args = SumArgs::from_matches(sum)?;
    args.as_sha256sum = matches.subcommand().is_none();
    args.field_forms = !args.as_sha256sum && !args.strict;
    match args.misuse() {
        None => Ok(Command::Sum(args)),
        Some(misuse) => Err(clap::Error::raw(ErrorKind::ArgumentConflict, misuse)),
    }
}
