// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Compares `adler32sum` with `sha256sum`, which must differ in the digests and the name alone.
//!
//! A case is a line for bash. Each program runs it in its own directory, with the same files. Exit
//! status, output and errors must be the same. [`Program::expand`] replaces placeholders for the
//! program and its digests in a line and in a list.
//!
//! Five differences are intended: see [`Outcome::into_intended`]. The comparison holds for some
//! versions of coreutils, see [`VERSIONS`]. It is skipped if another one is installed.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::fmt::Display;
use std::fs;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;
use std::thread;

use libtest_mimic::Arguments;
use libtest_mimic::Completion;
use libtest_mimic::Trial;
use nix::unistd;
use tempfile::TempDir;

/// The versions of coreutils for which the comparison holds: those of Debian 12 and 13. Since 9.10,
/// coreutils has another message for `--text --tag`. Since 9.11, it quotes the names in all
/// results.
const VERSIONS: [&str; 2] = ["9.1", "9.7"];

/// The files and their content.
const FILES: &[(&[u8], &str)] = &[
    (b"a", "Wikipedia"),
    (b"b", "abcde"),
    (b"empty", ""),
    (b"sp ace", "a"),
    (b" lead", "a"),
    (b"trail ", "a"),
    (b"-dash", "a"),
    (b"-c", "a"),
    (b"*star", "a"),
    (b"#hash", "a"),
    (b"back\\slash", "a"),
    (b"back\\nslash", "a"),
    (b"new\nline", "a"),
    (b"re\rturn", "a"),
    (b"end\r", "a"),
    (b"tab\t", "a"),
    (b"par) = en", "a"),
    (b"(", "a"),
    (b"col:on", "a"),
    (b"quo'te", "a"),
    (b"\xff\xfe", "a"),
    (b"\xc3\xa9", "a"),
    (b"forbidden", "a"),
];

/// Operands, as words for bash: names of the files, and other operands.
const NAMES: &[&str] = &[
    "a",
    "empty",
    "'sp ace'",
    "' lead'",
    "'trail '",
    "./-dash",
    "-- -dash",
    "-- -c",
    "'*star'",
    "'#hash'",
    r"'back\slash'",
    r"'back\nslash'",
    r"$'new\nline'",
    r"$'re\rturn'",
    r"$'end\r'",
    r"$'tab\t'",
    "'par) = en'",
    "'('",
    "col:on",
    r#""quo'te""#,
    r"$'\xff\xfe'",
    "é",
    "''",
    "none",
    "'none such'",
    "dir",
    "a/b",
    "dir/",
    ".",
    "/dev/null",
    "/proc/self/mem",
    "-",
    "- < b",
    "< b",
    "- - < b",
    "a - b < empty",
    "- <&-",
    "<&-",
    "a - b <&-",
    "- < dir",
    "a none b dir empty",
    "a a",
    "a b empty >/dev/full",
    "a none >/dev/full",
    "none >/dev/full",
    "a none b >&-",
    "none >&-",
    "a 2>&-",
    "none 2>&-",
    "none 2>/dev/full",
    "a <&- >&-",
    r"$'none\n' $'none\r' 'none\n'",
    r"$'\u2028none' $'no\u2029ne' $'\u2028\n' $'\'\u2028'",
];

/// Options with which checksums are printed.
const PRINTING: &[&str] = &[
    "",
    "-b",
    "-t",
    "-z",
    "--tag",
    "-bz",
    "-z --tag",
    "-bt",
    "-tb",
    "-t --tag",
    "--tag -b",
    "--zero --text",
];

/// Lists to check: their names and their content.
const LISTS: &[(&str, &str)] = &[
    ("good", "@a@  a\n@b@  b\n"),
    ("binary", "@a@ *a\n@b@ *b\n"),
    ("tagged", "TAG (a) = @a@\nTAG (b) = @b@\n"),
    ("xrootd", "@a@ a\n@b@ b\n"),
    ("text-and-tagged", "@a@  a\nTAG (b) = @b@\n@b@ *b\n"),
    ("xrootd-and-tagged", "@a@ a\nTAG (b) = @b@\n@b@ b\n"),
    ("text-then-xrootd", "@a@  a\n@b@ b\n@a@ *a\n"),
    ("xrootd-then-text", "@a@ a\n@b@  b\n@a@ *a\n@b@ b\n"),
    ("upper", "@A@  a\nTAG (a) = @A@\n"),
    ("unended", "@a@  a\n@b@  b"),
    ("crlf", "@a@  a\r\n@b@  b\r\n\r\n# c\r\nTAG (a) = @a@\r\n"),
    ("comments", "# a\n@a@  a\n#@wrong@  a\n\n@b@  b\n"),
    ("only-comments", "# a\n\n#\n"),
    ("none-listed", ""),
    ("junk", "junk\n"),
    ("much-junk", "junk\n@a@\nmore\n"),
    ("some-junk", "@a@  a\njunk\n"),
    ("wrong", "@wrong@  a\n"),
    ("two-wrong", "@wrong@  a\n@wrong@  b\n@a@  a\n"),
    ("missing", "@a@  none\n"),
    ("two-missing", "@a@  none\n@b@  b\n@b@  none such\n"),
    ("directory", "@a@  dir\n"),
    ("all-sorts", "@a@  a\n@wrong@  b\n@a@  none\njunk\nTAG (b) = @b@\n@a@  dir\n"),
    ("missing-and-wrong", "@a@  none\n@wrong@  a\n"),
    ("missing-and-junk", "@a@  none\njunk\n"),
    ("short", "@short@  a\n@b@  b\n"),
    ("long", "@long@  a\n@b@  b\n"),
    ("escaped", "\\@s@  new\\nline\n\\@s@  back\\\\slash\n\\@s@  re\\rturn\n\\TAG (new\\nline) = @s@\n"),
    ("escaped-wrong", "\\@wrong@  new\\nline\n\\@wrong@  back\\\\slash\n\\@wrong@  re\\rturn\n"),
    ("escaped-missing", "\\@s@  no\\ne\n\\@s@  no\\\\ne\n\\@s@  no\\rne\n"),
    ("odd", "@s@  sp ace\n@s@   lead\n@s@  trail \n@s@  -dash\n@s@  *star\n@s@ **star\n@s@  #hash\n@s@  par) = en\n"),
    ("odd-tagged", "TAG (sp ace) = @s@\nTAG ( lead) = @s@\nTAG (par) = en) = @s@\nTAG (() = @s@\nTAG (é) = @s@\n"),
    ("odd-xrootd", "@s@ sp ace\n@s@  lead\n@s@ trail \n@s@ *star\n@s@ back\\slash\n"),
    ("stdin", "@b@  -\n@a@  a\n"),
    ("nul", "@a@  a\0@b@  b\0"),
    ("nul-inside", "@a@  a\0b\nTAG (a\0b) = @a@\n"),
    ("forbidden-listed", "@s@  forbidden\n@a@  a\n"),
    ("all names", "@a@  a\n@wrong@  a\njunk\n"),
];

/// Other operands of `-c`.
const OTHER_LISTS: &[&str] = &[
    "",
    "-",
    "none",
    "''",
    "dir",
    "/dev/null",
    "/proc/self/mem",
    "<&-",
    "- <&-",
    "< good",
    "- < all-sorts",
    "'all names' < good",
    "< missing",
    "- - < good",
    "< stdin",
    "- < dir",
    "< junk",
    "- < only-comments",
    "good none tagged",
    "good xrootd",
    "xrootd good",
    "good junk all-sorts",
    "junk good",
    "stdin < b",
    "stdin - < b",
    "good wrong missing",
    "missing good",
    "good >/dev/full",
    "all-sorts >/dev/full",
    "good >&-",
    "all-sorts >&-",
    "junk 2>&-",
    "-- good",
    "$'no\\nlist' 'no list'",
];

/// Options with which lists are checked.
const CHECKING: &[&str] = &[
    "",
    "--quiet",
    "--status",
    "-w",
    "--warn --strict",
    "--strict",
    "--ignore-missing",
    "--ignore-missing --quiet",
    "--ignore-missing --status --strict",
    "--ignore-missing --strict -w",
    "--strict --quiet",
    "--status -w",
];

/// Lines to check, each as a separate list.
const LINES: &[&str] = &[
    "@a@  a",
    "@a@ *a",
    "@a@ a",
    "@a@   a",
    "@a@ * a",
    "@a@ **a",
    "@a@\ta",
    "@a@\t a",
    "@a@ \ta",
    "@a@\t*a",
    " @a@  a",
    "\t@a@  a",
    " \t @a@  a",
    "@a@  a ",
    "@a@  a\r",
    "@a@  a\r\r",
    "\r",
    " ",
    "\\",
    "@a@",
    "@a@ ",
    "@a@  ",
    "@a@ *",
    "@a@   ",
    "@a@\t",
    "@a@a",
    "@short@  a",
    "@long@  a",
    "@nohex@  a",
    "@A@  a",
    "@a@-a",
    "0x@a@  a",
    "+@short@  a",
    "@a@  -",
    "@a@ -",
    "TAG (-) = @a@",
    "@a@  ./a",
    "@a@  none",
    "@a@  dir",
    "@a@  (a) = b",
    "\\@a@  a",
    " \\@a@  a",
    "\\ @a@  a",
    "\\\\@a@  a",
    "@a@  back\\slash",
    "@s@  back\\slash",
    "\\@s@  back\\slash",
    "\\@s@  back\\\\slash",
    "\\@s@  back\\\\nslash",
    "\\@s@  back\\\\\\slash",
    "\\@s@  a\\",
    "\\@s@  a\\\\",
    "\\@s@  new\\nline",
    "\\@s@ new\\nline",
    "\\@s@ *re\\rturn",
    "\\@s@  a\\t",
    "TAG (a) = @a@",
    "TAG(a)= @a@",
    "TAG (a)=@a@",
    "TAG(a)=@a@",
    "TAG (a) =   @a@",
    "TAG (a)\t=\t@a@",
    " TAG (a) = @a@",
    "TAG  (a) = @a@",
    "TAG\t(a) = @a@",
    "TAG (a) = @a@ ",
    "TAG (a) = @a@\r",
    "TAG (a) = @long@",
    "TAG (a) = @short@",
    "TAG (a) = @nohex@",
    "TAG (a) = @A@",
    "TAG (a) = ",
    "TAG (a) @a@",
    "TAG (a) == @a@",
    "TAG (a = @a@",
    "TAG a) = @a@",
    "TAG a = @a@",
    "TAG (a)",
    "TAG (",
    "TAG",
    "TAG ()= @a@",
    "TAG ( a) = @a@",
    "TAG (a ) = @a@",
    "TAG (a) b) = @a@",
    "TAG (a) = @a@) = @a@",
    "TAG-32 (a) = @a@",
    "tag (a) = @a@",
    "MD5 (a) = @a@",
    "x TAG (a) = @a@",
    "\\TAG (a) = @a@",
    "\\TAG (new\\nline) = @s@",
    "\\TAG (back\\slash) = @s@",
    "\\TAG (back\\\\slash) = @s@",
    "TAG (back\\slash) = @s@",
    " TAG (sp ace) = @s@",
    "# @a@  a",
    " # @a@  a",
    "#",
    "@a@ #a",
    "@a@  #hash",
    "@s@  #hash",
];

/// Options, which are tried in all pairs.
const OPTIONS: &[&str] = &[
    "-b",
    "-t",
    "-c",
    "-z",
    "-w",
    "--tag",
    "--ignore-missing",
    "--quiet",
    "--status",
    "--strict",
    "-x",
    "--foo",
];

/// Wrong or abbreviated options, and the order of options and operands.
const USAGE: &[&str] = &[
    "--binary a",
    "--bin a",
    "--b a",
    "--che good",
    "--c good",
    "--ta a",
    "--te a",
    "--t a",
    "--s a",
    "--st a",
    "--sta a",
    "--tag=x a",
    "--tag= a",
    "--che=x",
    "--bin=x a",
    "--foo=bar a",
    "--s=x a",
    "---",
    "-z=x a",
    "-h",
    "-V",
    "-?",
    "-bx a",
    "-xb a",
    "-cx",
    "-c-",
    "-b- a",
    "-1",
    "-b -b a",
    "-bb a",
    "-c -c good",
    "--status --status -c good",
    "-cw junk",
    "-cwq junk",
    "--help=x",
    "a -b",
    "a -- -b",
    "-- a -b",
    "good -c",
    "good -c -- --quiet",
    "--",
    "-- --",
    "- -b < a",
    "-b - < a",
    "-b -- - < a",
    "--foo --help",
    "--help --foo | true",
    "--tag -t --help | true",
    "--tag -t --foo",
    "--version | true",
    "--help >/dev/full",
    "--version >&-",
    "--foo >/dev/full",
    "--tag -t -b a",
    "--tag -b -t a",
    "-t --tag -b a",
    "-c --tag -t a",
    "-c --tag -z -b a",
    "-c -b -z a",
    "-t -b -c a",
    "--quiet --status a",
    "--status --quiet a",
    "-w --quiet a",
    "--quiet -w --status a",
    "--quiet --foo a",
    "--ignore-missing --strict -w a",
    "--strict --ignore-missing a",
    "-c --quiet -w some-junk",
    "-c -w --quiet some-junk",
    "-c --status -w some-junk",
    "-c --status --quiet some-junk",
    "-c --quiet --status some-junk",
    "-c some-junk -w --strict",
];

/// Other cases.
const OTHERS: &[&str] = &[
    "env POSIXLY_CORRECT=1 SUM a -b",
    "env POSIXLY_CORRECT=1 SUM -b a -- b",
    "env POSIXLY_CORRECT=1 SUM -c good --quiet",
    "UNPRIVILEGED SUM forbidden",
    "UNPRIVILEGED SUM a forbidden b",
    "UNPRIVILEGED SUM -c forbidden",
    "UNPRIVILEGED SUM -c forbidden-listed",
    "UNPRIVILEGED SUM -c --ignore-missing forbidden-listed",
    "UNPRIVILEGED SUM -c --quiet --strict forbidden-listed",
    "UNPRIVILEGED SUM -c --status forbidden-listed",
    "SUM a b | SUM -c",
    "SUM -b a b | SUM -c -",
    "SUM --tag a 'sp ace' | SUM -c",
    "SUM -- *a* *e* | SUM -c",
    "SUM --tag -- *a* *e* | SUM -c --strict",
    "SUM a > sums; SUM --tag b >> sums; SUM -c sums; rm sums",
    "cat a | SUM",
    "cat a | SUM - b -",
    "cat good | SUM -c --strict",
    "(read -N 8; SUM) < a",
    "(SUM; SUM) < a",
    "(SUM; cat) < a",
    "SUM <(cat a) | cut -d ' ' -f 1",
    "ln -s a link; SUM link; rm link; ln -s none link; SUM link; rm link; ln -s link link; SUM link; rm link",
    "SUM $(printf 'x%.0s' {1..300})",
    "SUM -c <(echo '@a@  '$(printf 'x%.0s' {1..300})) | cat",
    r#"env LC_ALL=C SUM é none-é 'é é' $'é\n' "'é" $'\xff' $'a\u2028b' $'none\t' 'none such' it\'s"#,
    "env LC_ALL=C SUM -c odd-tagged directory/é",
    "env LC_ALL=POSIX LANG=C.UTF-8 SUM none-é",
    "env -u LC_ALL LC_CTYPE=C.UTF-8 LANG=C SUM none-é",
    "env LC_ALL= LC_CTYPE= LANG=C.UTF-8 SUM none-é",
    "env -u LC_ALL -u LC_CTYPE -u LANG SUM none-é",
    "mkdir dash; cp a dash/-; cd dash; SUM ./-; SUM ./- > sums; SUM --tag ./- >> sums; SUM -c sums",
];

/// One of the two programs.
struct Program {
    name: &'static str,
    tag: &'static str,
    /// The search path that finds it.
    path: String,
    /// Its directory, which contains the files.
    directory: TempDir,
    /// The digest of each content of a file.
    digests: Vec<(&'static str, String)>,
}

impl Program {
    fn new(name: &'static str, tag: &'static str, path: String) -> Self {
        let mut program = Self {
            name,
            tag,
            path,
            directory: tempfile::tempdir().expect("a directory"),
            digests: Vec::new(),
        };
        program.allow(".", 0o755);
        fs::create_dir(program.directory.path().join("dir")).expect("a directory");
        for (file, content) in FILES {
            program.write(OsStr::from_bytes(file), content);
        }
        let contents = ["Wikipedia", "abcde", "", "a"];
        let lines = contents.map(|content| format!("printf '{content}' | SUM"));
        for (content, outcome) in contents.into_iter().zip(program.run(&lines)) {
            let line = String::from_utf8_lossy(&outcome.stdout).into_owned();
            let digest = line.strip_suffix("  -\n").expect("a digest");
            program.digests.push((content, digest.to_owned()));
        }
        for (list, lines) in LISTS {
            program.write(list, &program.expand(lines));
        }
        for (number, line) in LINES.iter().enumerate() {
            program.write(line_name(number), &program.expand(&format!("{line}\n")));
        }
        program.allow("forbidden", 0);
        program
    }

    fn write(&self, name: impl AsRef<Path>, content: &str) {
        fs::write(self.directory.path().join(&name), content).expect("a file");
        self.allow(name, 0o644);
    }

    fn allow(&self, name: impl AsRef<Path>, mode: u32) {
        let path = self.directory.path().join(name);
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("permissions");
    }

    /// Replaces the placeholders in a text.
    fn expand(&self, text: &str) -> String {
        let as_nobody = match unistd::geteuid().is_root() {
            true => "setpriv --reuid 65534 --regid 65534 --clear-groups",
            false => "",
        };
        let text = text
            .replace("SUM", self.name)
            .replace("TAG", self.tag)
            .replace("UNPRIVILEGED", as_nobody);
        let [(_, a), (_, b), (_, empty), (_, s)] = &*self.digests else {
            return text;
        };
        text.replace("@a@", a)
            .replace("@A@", &a.to_uppercase())
            .replace("@b@", b)
            .replace("@empty@", empty)
            .replace("@s@", s)
            .replace("@wrong@", &"0".repeat(a.len()))
            .replace("@long@", &format!("{a}0"))
            .replace("@short@", &a[1..])
            .replace("@nohex@", &format!("{}g", &a[1..]))
    }

    /// Runs each line in a subshell of one bash, in a quarter of the time that many bashes take.
    fn run(&self, lines: &[String]) -> Vec<Outcome> {
        let results = tempfile::tempdir().expect("a directory");
        let result = |number, kind| results.path().join(format!("{number}.{kind}"));
        let mut script = String::new();
        for (number, line) in lines.iter().enumerate() {
            let line = self.expand(line);
            let [stdout, stderr, status] =
                ["stdout", "stderr", "status"].map(|kind| result(number, kind));
            let (stdout, stderr, status) = (stdout.display(), stderr.display(), status.display());
            script += &format!("(\n{line}\n) >{stdout} 2>{stderr}; echo $? >{status}\n");
        }
        let path = results.path().join("script");
        fs::write(&path, script).expect("a script");
        let ran = Command::new("bash")
            .arg(path)
            .current_dir(&self.directory)
            .env("LC_ALL", "C.UTF-8")
            .env("PATH", &self.path)
            .env_remove("LANGUAGE")
            .env_remove("POSIXLY_CORRECT")
            .stdin(Stdio::null())
            .status();
        ran.expect("bash starts");
        let read = |number, kind| fs::read(result(number, kind)).expect("a result");
        let outcome = |number| Outcome {
            status: self.contract(read(number, "status")),
            stdout: self.contract(read(number, "stdout")),
            stderr: self.contract(read(number, "stderr")),
        };
        (0..lines.len()).map(outcome).collect()
    }

    /// Reverses [`Self::expand`] in what a program has printed.
    fn contract(&self, text: Vec<u8>) -> Vec<u8> {
        let text = replace(&text, self.name, "SUM");
        let text = replace(&text, self.tag, "TAG");
        self.digests.iter().fold(text, |text, (content, digest)| {
            replace(&text, digest, &format!("digest of \"{content}\""))
        })
    }
}

fn replace(text: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut replaced = Vec::new();
    let mut rest = text;
    while let Some(byte) = rest.first() {
        match rest.strip_prefix(from.as_bytes()) {
            Some(after) => {
                replaced.extend_from_slice(to.as_bytes());
                rest = after;
            }
            None => {
                replaced.push(*byte);
                rest = &rest[1..];
            }
        }
    }
    replaced
}

/// The result of a line.
#[derive(PartialEq)]
struct Outcome {
    status: Vec<u8>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Outcome {
    /// Turns a result of `sha256sum` into the intended result of `adler32sum`, which differs:
    ///
    /// 1. coreutils 9.1 escapes the name in a result only if it contains a newline. coreutils 9.7
    ///    and `adler32sum` escape it as in a list.
    /// 2. coreutils do not print why a write to a full device failed.
    /// 3. coreutils print twice that the standard input is closed: for the read and for the close.
    /// 4. `--t` is also short for an option that coreutils do not have.
    /// 5. coreutils before 9.11 print control characters in the names of results. `adler32sum`
    ///    quotes these names, as 9.11 does.
    fn into_intended(mut self) -> Self {
        let lines = self.stdout.split_inclusive(|&byte| byte == b'\n');
        self.stdout = lines.flat_map(escape_result).collect();
        let stderr = replace(
            &self.stderr,
            "write error\n",
            "write error: No space left on device\n",
        );
        let stderr = replace(&stderr, " '--text'\n", " '--text' '--threads'\n");
        self.stderr = replace(&stderr, "SUM: standard input: Bad file descriptor\n", "");
        self
    }
}

/// Escapes the name in a result of `-c`, unless it is escaped.
fn escape_result(line: &[u8]) -> Vec<u8> {
    let is_result = [": OK\n", ": FAILED\n", ": FAILED open or read\n"]
        .iter()
        .any(|end| line.ends_with(end.as_bytes()));
    if is_result && !line.starts_with(b"\\") && (line.contains(&b'\\') || line.contains(&b'\r')) {
        let escaped = replace(&replace(line, "\\", "\\\\"), "\r", "\\r");
        [b"\\", &*escaped].concat()
    } else if is_result && line.contains(&b'\t') {
        let end = line
            .iter()
            .rposition(|&byte| byte == b':')
            .expect("a result");
        let name = replace(&line[..end], "\t", "'$'\\t''");
        let name = name.strip_suffix(b"''").unwrap_or(&name);
        [b"'", name, b"'", &line[end..]].concat()
    } else {
        line.to_owned()
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "status {}, output \"{}\", errors \"{}\"",
            String::from_utf8_lossy(&self.status).trim_end(),
            self.stdout.escape_ascii(),
            self.stderr.escape_ascii()
        )
    }
}

fn line_name(number: usize) -> String {
    format!("line{number}")
}

/// Returns all cases.
fn cases() -> Vec<String> {
    let mut cases = Vec::new();
    for options in PRINTING {
        cases.extend(NAMES.iter().map(|name| format!("SUM {options} {name}")));
    }
    for options in CHECKING {
        let lists = LISTS.iter().map(|(list, _)| format!("'{list}'"));
        let others = OTHER_LISTS.iter().map(|list| list.to_string());
        cases.extend(
            lists
                .chain(others)
                .map(|list| format!("SUM -c {options} {list}")),
        );
    }
    for (number, line) in LINES.iter().enumerate() {
        cases.push(format!("SUM -c -w {} # {line:?}", line_name(number)));
    }
    for first in OPTIONS {
        for second in OPTIONS {
            cases.push(format!("SUM {first} {second} a"));
            cases.push(format!("SUM {first} {second} -c some-junk"));
        }
    }
    for byte in 1..=127 {
        // Messages quote the byte. It is never at the end of a name with a single quote, because
        // coreutils quote such a name wrongly.
        cases.push(format!(
            r"SUM $'\{byte:03o}' $'x\{byte:03o}y' $'\'\{byte:03o}y' $'x\'\{byte:03o}\377y'"
        ));
    }
    cases.extend(USAGE.iter().map(|arguments| format!("SUM {arguments}")));
    cases.extend(OTHERS.iter().map(|line| line.to_string()));
    cases
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let comparison = Trial::ignorable_test("adler32sum_does_what_sha256sum_does", || Ok(compare()));
    libtest_mimic::run(&arguments, vec![comparison]).exit_code()
}

fn compare() -> Completion {
    let path = env::var("PATH").expect("a path");
    let theirs = Command::new("sha256sum").arg("--version").output();
    let theirs = theirs.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let version = theirs.as_deref().unwrap_or_default().lines().next();
    let version = version.unwrap_or("no sha256sum");
    let number = version.strip_prefix("sha256sum (GNU coreutils) ");
    if !number.is_some_and(|number| VERSIONS.contains(&number)) {
        let versions = VERSIONS.join(" and ");
        return Completion::ignored_with(format!(
            "the comparison holds for coreutils {versions}, but here is {version}"
        ));
    }

    let bin = tempfile::tempdir().expect("a directory");
    let allowed = Permissions::from_mode(0o755);
    fs::set_permissions(&bin, allowed).expect("permissions");
    // A copy, because other users may not reach the directory of the original.
    let copy = bin.path().join("adler32sum");
    fs::copy(env!("CARGO_BIN_EXE_adler32"), &copy).expect("a copy");
    fs::set_permissions(&copy, Permissions::from_mode(0o755)).expect("permissions");
    let ours = format!("{}:{path}", bin.path().display());
    let ours = Program::new("adler32sum", "ADLER32", ours);
    let theirs = Program::new("sha256sum", "SHA256", path);

    let cases = cases();
    let (expected, outcomes) = thread::scope(|scope| {
        let expected = scope.spawn(|| theirs.run(&cases));
        let outcomes = ours.run(&cases);
        (expected.join().expect("outcomes"), outcomes)
    });
    let mut differences = 0;
    for ((case, expected), outcome) in cases.iter().zip(expected).zip(outcomes) {
        let expected = expected.into_intended();
        let ran = expected.status == b"0\n" || expected.status == b"1\n";
        assert!(ran, "sha256sum did not run: {case}: {expected}");
        if outcome != expected {
            differences += 1;
            println!("{case}\n  coreutils: {expected}\n  ours:      {outcome}");
        }
    }
    let cases = cases.len();
    eprintln!("\n{cases} cases compared with {version}, {differences} differ");
    assert_eq!(differences, 0, "of {cases} cases");
    Completion::Completed
}
