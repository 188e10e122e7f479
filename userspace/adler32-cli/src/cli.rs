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

/// The part of the help after the options. clap wraps it.
const DETAILS: &str = "\
A line of output contains the checksum as eight hexadecimal digits, a space, a second space, and \
the name of the file. With -b, an asterisk replaces the second space. If the name contains a \
backslash, a newline or a carriage return, the line begins with a backslash, and \\\\, \\n and \\r \
in the name stand for these characters.

A list for --check may contain such lines, and lines that --tag or --xrootd prints. Lines of \
--xrootd have one space between the checksum and the name, and the lines described above have two \
characters there. A list cannot contain lines of both forms, because a name can begin with a \
space. The first line that has one of these two forms decides which form all later lines must \
have, also in other lists. After a line with two characters, a line with one space is improperly \
formatted. After a line with one space, a second space or an asterisk is the first character of \
the name.

A list may also contain lines of --json, and lines that xrdcp, xrdfs, gfal-sum, dCache, Rucio, EOS \
or 'curl -I' prints. With --strict, or under the name adler32sum, these lines are \
improperly formatted. In such a line, the checksum may have a label such as adler32: or ad:, and \
leading zeros may be missing. The checksum may also come after the name. It must then have a label \
or eight digits, unless the name is a URL. In some lines, both the first and the last word can be \
the checksum. If an earlier line shows whether the checksum comes before or after the name, the \
command assumes the same order. If no earlier line shows this, the command prints an error and \
does not check the line, and the exit status is 2. The command never checks a line of --range. It \
prints an error for each such line, and the exit status is 2.

With --xattr, checksums are stored in the extended attribute that XRootD uses, \
user.XrdCks.adler32. With --xattr=storm, they are stored in the attribute that StoRM uses, \
user.storm.checksum.adler32.

The attribute of XRootD also contains the time of modification of the file, and the time when the \
checksum was stored. If the file still has this time of modification, and if its owner, mode and \
attributes have not been changed after the checksum was stored, the command prints the stored \
checksum without reading the file. Otherwise, it reads the file and computes the checksum. The \
attribute of StoRM contains no time, so the command always reads the file.

If the command computes a checksum, it stores this checksum, unless the file changed while it was \
read. There is one exception. If the attribute contains another checksum, and the time of \
modification in the attribute is still that of the file, the command prints an error and keeps the \
checksum in the attribute. With --xattr=storm, this happens whenever the attribute contains \
another checksum. With --force, the command replaces the checksum in the attribute.

With --xattr --check, the command reads the files and compares their checksums with the stored \
ones. If no checksum is stored for a file, or if the file no longer has the stored time of \
modification, the command does not read the file, but reports it.

A backend is what computes the checksums. --via selects a backend. The backend cpu computes the \
checksums in this program and needs no kernel module. The backend device writes the data to \
/dev/adler32, and the backend ioctl passes the data to it by the ioctl ADLER32_UPDATE. If \
/dev/adler32 cannot be used, these two fail. The backend afalg sends the data to an AF_ALG socket. \
If AF_ALG cannot be used, the command prints the reason and uses device, or cpu if device cannot \
be used either. AF_ALG is deprecated since Linux 7.2, so use device in new scripts.

With --via auto, cpu computes the checksums. If /dev/adler32 can be used, it helps with files of \
16 MiB or more: the kernel sends the parts of them that are in the page cache to the device, \
without a copy. If the device fails, cpu computes the rest. With --via device, the failure is an \
error.

Of files of 16 MiB or more, the parts that are not in the page cache are read from the disk past \
it (O_DIRECT) if the kernel and the file system support that, and if you own the file or may write \
to it. The parts do not enter the page cache, so a program that reads the file afterward reads the \
disk again. With --threads 1, all of the file is read through the page cache.

With --direct, all data of regular files and block devices is read from the disk, and no data \
enters or leaves the page cache. With --check, such reads find damage on the disk that the page \
cache hides. On ext4 and XFS, all data comes from the disk, except on ext4 with data=journal or \
inline_data. Btrfs reads compressed files through the page cache nevertheless. A network file \
system asks its server, which may have a cache. If the file system does not support direct reads, \
an error is printed.

Holes of sparse files are not read, because they contain only zeros.

With --debug and --json, the command reports how many bytes of a file came in which way: 'cache' \
(they were in the page cache, which several threads may read), 'disk' (they were not, so one \
thread read them in order), 'direct' (they were read past the page cache), 'hole' (they are zeros \
of a hole), 'sent' (the kernel sent them to the backend) or 'read' (it is not known where they \
were, as in a pipe). The progress bar shows the latest way.

With --range, a line of output looks like '05c801f0  0:5/9  name'. It contains the checksum, the \
offset and the length of the part, the size of the file, and its name. 'adler32 combine' computes \
the checksums of whole files from these lines, or from the lines of --range --json. An offset \
after the end of a file is an error, and so is a file without a size, such as a pipe.

With --json, the object for a file contains the members 'file', 'adler32', 'length', 'backend' and \
'ways'. The object 'ways' contains the number of bytes for each way. With --via auto, the backend \
is 'device' if the device summed any bytes. With --range, the object also contains 'offset' (the \
offset of the part) and 'size' (the size of the file). With --xattr, the object contains neither \
'backend' nor 'ways'. Instead, it contains 'modified' (the time of modification in seconds since \
1970) and 'stored' (true if the checksum comes from the attribute, otherwise false). With --xattr \
--check, the object contains 'file' and 'result'. If the command has read the file, the object \
also contains 'adler32' and 'length'. If the attribute contains a checksum, the object also \
contains this checksum as 'stored'. The value of 'result' is 'ok', 'failed', 'missing' (no \
checksum is stored), 'outdated' (the file was modified after its checksum was stored) or \
'unreadable'. If it is 'unreadable', the object contains the reason as 'error'. In all objects, \
bytes of a name that are not UTF-8 are replaced by U+FFFD.

If the work takes more than a second and the standard error is a terminal, a progress bar appears \
there. With --quiet and --status, no bar appears.

If only options of sha256sum are used, the output and the messages are those of sha256sum. There \
is one exception: with --check, names that contain control characters are printed in quotes, as \
coreutils does since version 9.11.

The exit status is 0 if all files could be read and, with --check, if at least one file was \
checked and all checksums matched. It is 1 if a file does not have the checksum that is in a list \
or in an attribute, or if --audit finds a file that is in no list. It is 2 for all other errors, \
for example if a file cannot be read, if an option is wrong, or if --strict finds an improperly \
formatted line. Under the name adler32sum, the exit status is 1 for all errors, as for sha256sum.";

/// A group of options in the help.
const CHECKING: &str = "Options for use with --check";

/// Compute and check Adler-32 checksums of files.
///
/// This program computes the checksums itself and needs no kernel module. The kernel module adler32
/// can compute them instead: see the option --via of 'adler32 sum'.
///
/// Under the name adler32sum, this program is 'adler32 sum', but accepts the same lists as
/// sha256sum and has the same exit status.
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
    /// printed in place of its checksum. If any line does not describe a part, an error is printed,
    /// and no checksums at all. The exit status is 0 if the checksums of all files could be
    /// computed. Otherwise, it is 2.
    Combine(CombineArgs),
    /// Copy files, and print the checksums of the copies
    ///
    /// Computes the checksum while copying, so that the file is read only once. A copy gets its
    /// name when it is complete and on the disk. Until then, an older file of that name remains
    /// unchanged. If a file changes while it is copied, an error is printed and there is no copy.
    /// If SOURCE is -, the standard input is copied. The exit status is 0 if all files were copied.
    /// Otherwise, it is 2.
    #[command(override_usage = "\
adler32 copy [OPTIONS] SOURCE DESTINATION
       adler32 copy [OPTIONS] SOURCE... DIRECTORY")]
    Copy(CopyArgs),
    /// Compute a checksum for an XRootD server
    ///
    /// An XRootD server calls this command if its configuration contains 'xrootd.chksum max 4
    /// adler32 /usr/bin/adler32 xrootd'. The command prints the checksum. If the checksum cannot be
    /// computed, the command prints the reason in its place, and the server sends the reason to the
    /// client. The exit status is 0 if the checksum could be computed. Otherwise, the exit status
    /// is an error number (errno), and the server sends the client the error code that corresponds
    /// to this number.
    Xrootd(XrootdArgs),
    /// Measure how fast this machine computes checksums
    ///
    /// Measures all backends, which are the ways to compute checksums that 'adler32 sum --via' can
    /// select. First, each backend sums a file, and for comparison, the file is read without
    /// computing a checksum. Below these results, the command prints how the bytes of the file
    /// came, as 'adler32 sum --debug' does. Then, each backend sums data in memory, in several
    /// lengths. All backends must compute the same checksums. If a backend cannot be used, the
    /// reason is printed. This command loads no kernel module. The exit status is 0 if all
    /// checksums are equal. Otherwise, it is 2.
    Bench(BenchArgs),
    /// Show whether the kernel module can be used, and how to fix what prevents it
    ///
    /// The kernel module computes checksums for programs through the device /dev/adler32 and
    /// through AF_ALG sockets. This command loads no module and changes nothing. Commands
    /// that it prints after 'as root:' must be run as root. The exit status is 0 if the device or
    /// AF_ALG can be used now. If neither can be used, it is 1; 'adler32 sum' works nevertheless.
    /// For other errors, it is 2.
    Info(InfoArgs),
}

/// The arguments of `info`.
#[derive(clap::Args)]
pub struct InfoArgs {
    /// Print each finding as a JSON object on one line, with label, state, detail and fix
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
    /// Before a copy gets its name, read it again, from the disk if possible, and compare the
    /// checksums
    #[arg(long)]
    pub verify: bool,
    /// Store the checksum in an extended attribute of the copy [default FORMAT: xrootd]
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
    /// The files to copy (SOURCE), and last the name of the copy (DESTINATION) or the directory for
    /// the copies (DIRECTORY)
    #[arg(value_name = "FILE", required = true, num_args = 2..)]
    pub files: Vec<OsString>,
}

/// The arguments of `xrootd`.
#[derive(clap::Args)]
#[command(override_usage = "\
adler32 xrootd [OPTIONS] PATH
       adler32 xrootd [OPTIONS] adler32 PATH TIDENT [USER]")]
pub struct XrootdArgs {
    /// Directory to put before PATH [default: the server's oss.localroot, which the server passes
    /// in the environment variable XRDLCLROOT]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// If an extended attribute contains the checksum, and nothing about the file has changed after
    /// the checksum was stored, print this checksum without reading the file. Otherwise, compute
    /// the checksum and store it. If the attribute contains another checksum, and the time of
    /// modification in the attribute is still that of the file, fail. StoRM's attribute contains no
    /// time. So with storm, the file is always read, and the command fails whenever the attribute
    /// contains another checksum [default FORMAT: xrootd]
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
    /// Path of the file. A server that offers several types of checksums passes these operands: the
    /// type, the path, the identifier of the client (TIDENT), and the user
    #[arg(value_name = "PATH", required = true, trailing_var_arg = true)]
    pub operands: Vec<OsString>,
}

/// The arguments of `bench`.
#[derive(clap::Args)]
pub struct BenchArgs {
    /// File to sum [default: a temporary file in memory]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Size of the temporary file, and greatest length of the data in memory, in MiB
    #[arg(
        long,
        value_name = "MIB",
        default_value = "64",
        value_parser = value_parser!(u16).range(1..),
    )]
    pub size: u16,
    /// How often each backend is measured
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
    /// Print an asterisk before each name. This does not change how files are read
    #[arg(short, long, overrides_with = "text")]
    binary: bool,
    /// Read lists of checksums from the FILEs, and check the files in the lists
    #[arg(short, long)]
    pub check: bool,
    /// For a FILE that is a directory, sum all regular files below it, sorted by name. Symbolic
    /// links in it are not followed
    #[arg(short, long)]
    pub recursive: bool,
    /// With --recursive or --audit, leave out directories on other file systems. adler32sum does
    /// not have -x
    #[arg(short = 'x', long)]
    pub one_file_system: bool,
    /// Read the names of the files to sum from FILE. Each name in FILE must end with NUL
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
    /// Print the checksum that is stored in an extended attribute of each FILE. If none is stored,
    /// or if the FILE has changed since, compute the checksum and store it. With --check, compare
    /// the FILEs with their stored checksums, and read no lists [default FORMAT: xrootd]
    #[arg(
        long,
        value_name = "FORMAT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "xrootd",
        value_enum
    )]
    pub xattr: Option<Format>,
    /// With --xattr, compute all checksums and replace the stored ones
    #[arg(long)]
    pub force: bool,
    /// Select what computes the checksums (explained below)
    #[arg(
        long,
        value_name = "BACKEND",
        default_value = AUTO,
        value_parser = PossibleValuesParser::new(BackendChoice::names())
            .map(|name| BackendChoice::named(&name)),
    )]
    pub via: BackendChoice,
    /// Number of threads, not with --via ioctl and --via afalg [default: one per
    /// processor, and more where they wait for a disk]
    #[arg(long, value_name = "NUMBER", value_parser = parse_threads)]
    pub threads: Option<NonZero<usize>>,
    /// Read files from the disk, and leave the page cache as it is (explained below)
    #[arg(long)]
    pub direct: bool,
    /// Report which backend of --via is used, why the others are not, and how the bytes of each
    /// file came (explained below)
    #[arg(long)]
    pub debug: bool,
    /// Also report the files below DIR that are in no list
    #[arg(long, value_name = "DIR", help_heading = CHECKING)]
    pub audit: Vec<PathBuf>,
    /// Look for the files of a list relative to the directory of the list, not to the current
    /// directory
    #[arg(long, help_heading = CHECKING)]
    pub relative: bool,
    /// Do not fail or print a message for a listed file that does not exist
    #[arg(long, help_heading = CHECKING)]
    pub ignore_missing: bool,
    /// Do not print OK for each file that matches
    #[arg(long, overrides_with_all = ["status", "warn"], help_heading = CHECKING)]
    pub quiet: bool,
    /// Print no results. Only the exit status shows them
    #[arg(long, overrides_with_all = ["quiet", "warn"], help_heading = CHECKING)]
    pub status: bool,
    /// The file to which checksums without a name belong. xrdfs and curl print such checksums
    #[arg(long, value_name = "FILE", help_heading = CHECKING)]
    pub name: Option<OsString>,
    /// Fail if a line of a list is improperly formatted, and accept only lines as sha256sum accepts
    /// them (explained below). With --xattr, fail if a FILE could not be checked
    #[arg(long, help_heading = CHECKING)]
    pub strict: bool,
    /// Warn about each improperly formatted line of a list
    #[arg(short, long, overrides_with_all = ["quiet", "status"], help_heading = CHECKING)]
    pub warn: bool,
    /// Files to read. Without a FILE, or if FILE is -, the standard input is read
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
    /// The processor, which needs no module. The device helps with long files. Looking for the
    /// device for short files would take time, and looking for AF_ALG could load modules.
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
    // clap would look for a command called --help.
    let arguments = match arguments {
        [_, help, option, ..] if program == ADLER32 && help == "help" && is_help(option) => {
            &arguments[..2]
        }
        _ => arguments,
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

fn is_help(option: &OsString) -> bool {
    option == "--help" || option == "-h"
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
