// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Lines with a checksum and a name, in several forms.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::ffi::OsStringExt;

use adler32::Sum;
use base64::prelude::BASE64_STANDARD;
use base64::Engine;

use crate::quote::has_controls;
use crate::quote::quote;

/// The beginning of a line of the form [`Form::Tag`].
const TAG: &[u8] = b"ADLER32";

/// The number of digits of a checksum.
pub const DIGITS: usize = 8;

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `05c801f0  name`
    Text,
    /// `05c801f0 *name`
    Binary,
    /// `ADLER32 (name) = 05c801f0`
    Tag,
    /// `05c801f0 name`, as xrdadler32 prints.
    Xrootd,
    /// `05c801f0`
    Bare,
    /// `Digest: adler32=05c801f0`, or another field of an HTTP header.
    Header(Header),
}

/// A field of an HTTP header that contains a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Header {
    /// Digest: adler32=05c801f0 (RFC 3230)
    Digest,
    /// Repr-Digest: adler=:BcgB8A==: (RFC 9530)
    ReprDigest,
    /// Content-Digest: adler=:BcgB8A==: (RFC 9530)
    ContentDigest,
}

impl Header {
    fn field(self, checksum: u32) -> String {
        let base64 = BASE64_STANDARD.encode(checksum.to_be_bytes());
        match self {
            Self::Digest => format!("Digest: adler32={checksum:08x}"),
            Self::ReprDigest => format!("Repr-Digest: adler=:{base64}:"),
            Self::ContentDigest => format!("Content-Digest: adler=:{base64}:"),
        }
    }
}

/// The end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A newline. Names are escaped.
    Newline,
    /// A NUL. Names are not escaped.
    Nul,
}

/// Returns a line.
pub fn format(form: Form, end: End, checksum: u32, name: &OsStr) -> Vec<u8> {
    let name = match form {
        Form::Bare | Form::Header(_) => OsStr::new(""),
        _ => name,
    };
    let (backslash, name, end) = match end {
        End::Newline => {
            let (backslash, name) = escape(name);
            (backslash, name, "\n")
        }
        End::Nul => ("", name.as_bytes().into(), "\0"),
    };
    let (before, after) = match form {
        Form::Text => (format!("{checksum:08x}  "), String::new()),
        Form::Binary => (format!("{checksum:08x} *"), String::new()),
        Form::Tag => ("ADLER32 (".to_owned(), format!(") = {checksum:08x}")),
        Form::Xrootd => (format!("{checksum:08x} "), String::new()),
        Form::Bare => (format!("{checksum:08x}"), String::new()),
        Form::Header(header) => (header.field(checksum), String::new()),
    };
    [
        backslash.as_bytes(),
        before.as_bytes(),
        &name,
        after.as_bytes(),
        end.as_bytes(),
    ]
    .concat()
}

/// Escapes newlines, carriage returns and backslashes in a name. Returns the backslash that must
/// then begin the line, and the name.
pub fn escape(name: &OsStr) -> (&'static str, Cow<'_, [u8]>) {
    let name = name.as_bytes();
    let mut escaped = Vec::new();
    for &byte in name {
        match byte {
            b'\\' => escaped.extend_from_slice(b"\\\\"),
            b'\n' => escaped.extend_from_slice(b"\\n"),
            b'\r' => escaped.extend_from_slice(b"\\r"),
            _ => escaped.push(byte),
        }
    }
    if escaped.len() == name.len() {
        ("", name.into())
    } else {
        ("\\", escaped.into())
    }
}

/// Returns the line with the result of checking a file.
///
/// A name with control characters is quoted, as in coreutils since 9.11. Otherwise, a list could
/// move the cursor, and hide other results.
pub fn result(name: &OsStr, result: &str) -> Vec<u8> {
    let (backslash, escaped) = escape(name);
    match has_controls(&escaped) {
        true => format!("{}: {result}\n", quote(name)).into_bytes(),
        false => [
            backslash.as_bytes(),
            &escaped,
            b": ",
            result.as_bytes(),
            b"\n",
        ]
        .concat(),
    }
}

/// Reverses [`escape`]. Returns `None` if the name contains a backslash that [`escape`] does not
/// write.
pub fn unescape(name: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = name.iter();
    let mut plain = Vec::new();
    while let Some(&byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next()? {
                b'\\' => b'\\',
                b'n' => b'\n',
                b'r' => b'\r',
                _ => return None,
            },
            b'\0' => return None,
            _ => byte,
        });
    }
    Some(plain)
}

/// The content of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The expected checksum.
    pub checksum: u32,
    /// The name of the file.
    pub name: OsString,
    /// The expected size, if the line contains one.
    pub size: Option<u64>,
}

impl Entry {
    /// Returns the entry of a line without a size.
    pub fn new(checksum: u32, name: impl Into<OsString>) -> Self {
        Self {
            checksum,
            name: name.into(),
            size: None,
        }
    }

    /// Returns whether the file with this sum is as expected.
    pub fn matches(&self, sum: Sum) -> bool {
        sum.checksum.value() == self.checksum && self.size.is_none_or(|size| size == sum.length)
    }
}

/// Parses the lines of lists in all forms, as coreutils does.
///
/// The first line that has one or two spaces before the name determines the number of spaces for
/// all lines after it. Otherwise, a line for a file called ` name` could be taken for a line for
/// `name`.
#[derive(Default)]
pub struct Parser {
    one_space: Option<bool>,
}

impl Parser {
    /// Parses a line without its end. Returns `None` if the line has none of the forms.
    pub fn parse(&mut self, line: &[u8]) -> Option<Entry> {
        let line = trim_blanks(line);
        let (escaped, line) = match line.strip_prefix(b"\\") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let (checksum, name) = match line.strip_prefix(TAG) {
            Some(rest) => parse_tagged(rest, parse_checksum)?,
            None => self.parse_plain(line)?,
        };
        let name = if escaped {
            unescape(name)?
        } else {
            until_nul(name).to_owned()
        };
        Some(Entry::new(checksum, OsString::from_vec(name)))
    }

    /// Parses `05c801f0  name`, `05c801f0 *name` or `05c801f0 name`.
    fn parse_plain<'a>(&mut self, line: &'a [u8]) -> Option<(u32, &'a [u8])> {
        let (digits, rest) = line.split_at_checked(DIGITS)?;
        let checksum = parse_checksum(digits)?;
        let (_, rest) = rest.split_first().filter(|(blank, _)| is_blank(blank))?;
        Some((checksum, self.name(rest)?))
    }

    /// Returns the name in the rest of a line after the checksum and one blank.
    pub fn name<'a>(&mut self, rest: &'a [u8]) -> Option<&'a [u8]> {
        match rest {
            [] => None,
            [b' ' | b'*', name @ ..] if !name.is_empty() => {
                let one_space = *self.one_space.get_or_insert(false);
                Some(if one_space { rest } else { name })
            }
            name => self.one_space.get_or_insert(true).then_some(name),
        }
    }
}

/// Parses the rest of `ADLER32 (name) = 05c801f0` after the tag. OpenSSL omits some of the spaces.
///
/// `checksum` parses the checksum.
pub fn parse_tagged(rest: &[u8], checksum: impl Fn(&[u8]) -> Option<u32>) -> Option<(u32, &[u8])> {
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let rest = rest.strip_prefix(b"(")?;
    let end = rest.iter().rposition(|&byte| byte == b')')?;
    let (name, rest) = (&rest[..end], &rest[end + 1..]);
    let digits = trim_blanks(trim_blanks(rest).strip_prefix(b"=")?);
    Some((checksum(digits)?, name))
}

/// Parses a checksum in hexadecimal.
pub fn parse_checksum(digits: &[u8]) -> Option<u32> {
    if digits.len() != DIGITS || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Returns whether this is a space or a tab.
pub fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Returns the bytes from the first that is no blank.
pub fn trim_blanks(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !is_blank(byte));
    &bytes[start.unwrap_or(bytes.len())..]
}

/// Returns the bytes before the first NUL, as coreutils does. No file name contains a NUL.
pub fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::collection::vec;
    use proptest::prelude::*;

    const FORMS: [Form; 4] = [Form::Text, Form::Binary, Form::Tag, Form::Xrootd];

    fn entry(checksum: u32, name: &[u8]) -> Option<Entry> {
        Some(Entry::new(checksum, OsStr::from_bytes(name)))
    }

    #[test]
    fn lines_of_each_form() {
        for (form, line) in FORMS.into_iter().zip([
            "05c801f0  abcde",
            "05c801f0 *abcde",
            "ADLER32 (abcde) = 05c801f0",
            "05c801f0 abcde",
        ]) {
            let printed = format(form, End::Newline, 0x05c8_01f0, OsStr::new("abcde"));
            assert_eq!(printed, [line, "\n"].concat().as_bytes());
            assert_eq!(
                Parser::default().parse(line.as_bytes()),
                entry(0x05c8_01f0, b"abcde")
            );
        }
    }

    #[test]
    fn escapes() {
        let name = OsStr::new("a\nb\\c\rd");
        assert_eq!(
            format(Form::Text, End::Newline, 1, name),
            b"\\00000001  a\\nb\\\\c\\rd\n"
        );
        assert_eq!(
            format(Form::Tag, End::Nul, 1, name),
            b"ADLER32 (a\nb\\c\rd) = 00000001\0"
        );
    }

    #[test]
    fn one_space_or_two() {
        let mut parser = Parser::default();
        assert_eq!(parser.parse(b"00000001  a"), entry(1, b"a"));
        assert_eq!(parser.parse(b"00000001 a"), None);
        let mut parser = Parser::default();
        assert_eq!(parser.parse(b"00000001 a"), entry(1, b"a"));
        assert_eq!(parser.parse(b"00000001  a"), entry(1, b" a"));
        assert_eq!(parser.parse(b"00000001 *a"), entry(1, b"*a"));
        assert_eq!(parser.parse(b"ADLER32 (a) = 00000001"), entry(1, b"a"));
    }

    proptest! {
        #[test]
        fn what_is_printed_can_be_read(
            checksum: u32,
            name in vec(prop_oneof![1..=255u8, Just(b'\\'), Just(b' '), Just(b')')], 1..20),
            form in prop::sample::select(&FORMS[..]),
        ) {
            let mut parser = Parser::default();
            if form == Form::Xrootd {
                // This line fixes the number of spaces. A name that begins with a space would not.
                prop_assert!(parser.parse(b"00000001 a").is_some());
            }
            let line = format(form, End::Newline, checksum, OsStr::from_bytes(&name));
            let (end, line) = line.split_last().expect("a line");
            prop_assert_eq!(*end, b'\n');
            prop_assert!(!line.contains(end) && !line.ends_with(b"\r"));
            prop_assert_eq!(parser.parse(line), entry(checksum, &name));
        }

        #[test]
        fn what_is_read_can_be_printed(
            line in r"[ \t]?\\?(ADLER32 ?\()?[0-9a-fA-F]{7,9}[ \t*]{0,3}[a\\nr)(= \x00]{0,5}(\) ?= ?[0-9a-f]{8})?",
        ) {
            if let Some(entry) = Parser::default().parse(line.as_bytes()) {
                let line = format(Form::Tag, End::Newline, entry.checksum, &entry.name);
                let line = line.strip_suffix(b"\n").expect("a line");
                prop_assert_eq!(Parser::default().parse(line), Some(entry));
            }
        }
    }
}
