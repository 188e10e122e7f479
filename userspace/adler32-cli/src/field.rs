// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Lists as the programs of grid storage write them.
//!
//! The forms of sha256sum come first, see [`line::Parser`]. Under the name `adler32sum` and with
//! `--strict`, the other forms are improperly formatted.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use base64::prelude::BASE64_STANDARD;
use base64::Engine;

use crate::checksum::hexadecimal;
use crate::checksum::labeled;
use crate::checksum::shortened;
use crate::checksum::strip_label;
use crate::json;
use crate::line;
use crate::line::Entry;
use crate::line::DIGITS;

/// A line of a list.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    /// A checksum and a name.
    Entry(Entry),
    /// Neither, as in a comment.
    Nothing,
    /// The line has none of the forms.
    Misformatted,
    /// The line has one of the forms, but cannot be used for this reason.
    Unclear(&'static str),
}

/// The order of the checksum and the name in a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    ChecksumFirst,
    NameFirst,
}

/// Parses the lines of lists.
pub struct Parser<'a> {
    strict: bool,
    /// The name for lines without one.
    name: Option<&'a OsStr>,
    plain: line::Parser,
    order: Option<Order>,
    /// Whether the line is in the headers of an HTTP response.
    in_headers: bool,
}

const AMBIGUOUS: &str = "ambiguous, because both the first and the last word can be the checksum";
const NAMELESS: &str = "a checksum without a name, which --name can supply";

impl<'a> Parser<'a> {
    /// Creates a parser that accepts only the forms of sha256sum if `strict`. `name` is the name
    /// for lines without one.
    pub fn new(strict: bool, name: Option<&'a OsStr>) -> Self {
        Self {
            strict,
            name,
            plain: line::Parser::default(),
            order: None,
            in_headers: false,
        }
    }

    /// Parses a line without its end.
    pub fn parse(&mut self, line: &[u8]) -> Content {
        if line.is_empty() || line.starts_with(b"#") {
            self.in_headers = false;
            return Content::Nothing;
        }
        if self.strict {
            return match self.plain.parse(line) {
                Some(entry) => Content::Entry(entry),
                None => Content::Misformatted,
            };
        }
        let line = line::trim_blanks(line);
        if let Some(entry) = json::parse(line) {
            return Content::Entry(entry);
        }
        if is_status_line(line) {
            self.in_headers = true;
            return Content::Nothing;
        }
        if let Some(content) = self.parse_header(line) {
            return content;
        }
        let name_first = parse_name_first(line);
        match (&name_first, self.order) {
            (Some(entry), Some(Order::NameFirst)) => return Content::Entry(entry.clone()),
            (Some(entry), None) if is_ambiguous(entry) => return Content::Unclear(AMBIGUOUS),
            _ => {}
        }
        let checksum_first = self.plain.parse(line).map(Content::Entry);
        let checksum_first = checksum_first.or_else(|| self.parse_checksum_first(line));
        if let Some(content) = checksum_first {
            self.order = Some(Order::ChecksumFirst);
            return content;
        }
        match parse_eos(line).or(name_first) {
            Some(entry) if is_ambiguous(&entry) => Content::Unclear(AMBIGUOUS),
            Some(entry) => {
                self.order = Some(Order::NameFirst);
                Content::Entry(entry)
            }
            None => Content::Misformatted,
        }
    }

    /// Returns the entry for a checksum without a name.
    fn nameless(&self, checksum: u32) -> Content {
        match self.name {
            Some(name) => Content::Entry(Entry::new(checksum, name)),
            None => Content::Unclear(NAMELESS),
        }
    }

    /// Parses a field of an HTTP header, as `curl -I` prints it.
    fn parse_header(&self, line: &[u8]) -> Option<Content> {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let (field, value) = (&line[..colon], &line[colon + 1..]);
        let is = |name: &str| field.eq_ignore_ascii_case(name.as_bytes());
        let digests = value
            .split(|&byte| byte == b',')
            .map(|item| item.trim_ascii());
        let digest = if is("Digest") {
            find_digest(digests, b"adler32=", hexadecimal)
        } else if is("Repr-Digest") || is("Content-Digest") {
            find_digest(digests, b"adler=", byte_sequence)
        } else {
            return (self.in_headers && is_field_name(field)).then_some(Content::Nothing);
        };
        Some(match digest {
            Some(Some(checksum)) => self.nameless(checksum),
            Some(None) => Content::Misformatted,
            None if self.in_headers => Content::Nothing,
            None => Content::Misformatted,
        })
    }

    /// Parses a line in which the checksum comes before the name, and which sha256sum would not
    /// accept: the checksum has a label or too few digits.
    fn parse_checksum_first(&mut self, line: &[u8]) -> Option<Content> {
        let (escaped, line) = match line.strip_prefix(b"\\") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        if let Some(rest) = strip_label(line, b"adler32") {
            if let Some((checksum, name)) = line::parse_tagged(rest, shortened) {
                return entry(checksum, name, escaped);
            }
        }
        if let Some(rest) = strip_label(line, b"adler32:").filter(|rest| rest.starts_with(b" ")) {
            return self.parse_xrdcp(line::trim_blanks(rest));
        }
        let end = line.iter().position(line::is_blank).unwrap_or(line.len());
        let (word, rest) = line.split_at(end);
        let checksum = labeled(word).or_else(|| shortened(word));
        let (checksum, rest) = match checksum {
            Some(checksum) => (checksum, rest),
            // `adler32 05c801f0`, as xrdfs prints.
            None if word.eq_ignore_ascii_case(b"adler32") => {
                let rest = line::trim_blanks(rest);
                let end = rest.iter().position(line::is_blank).unwrap_or(rest.len());
                (hexadecimal(&rest[..end])?, &rest[end..])
            }
            None => return None,
        };
        if line::trim_blanks(rest).is_empty() {
            // A word alone is a checksum only if `--name` gives the name of the file.
            let bare = labeled(word).is_none() && !word.eq_ignore_ascii_case(b"adler32");
            return match self.name {
                None if bare => None,
                _ => Some(self.nameless(checksum)),
            };
        }
        entry(checksum, self.plain.name(&rest[1..])?, escaped)
    }

    /// Parses the rest of `adler32: 05c801f0 /path 5`, as `xrdcp --cksum adler32:print` prints. The
    /// size is omitted if the name is not a path or a URL, as xrdcp prints.
    fn parse_xrdcp(&self, rest: &[u8]) -> Option<Content> {
        let end = rest.iter().position(line::is_blank).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        let checksum = hexadecimal(word)?;
        let name = line::trim_blanks(rest);
        if name.is_empty() {
            return Some(self.nameless(checksum));
        }
        let (name, size) = match split_last_word(name) {
            Some((path, size)) if is_path(path) => match number(size) {
                Some(size) => (path, Some(size)),
                None => (name, None),
            },
            _ => (name, None),
        };
        let entry = Entry::new(checksum, local(name));
        Some(Content::Entry(Entry { size, ..entry }))
    }
}

/// Returns the content of a line with this checksum and name.
fn entry(checksum: u32, name: &[u8], escaped: bool) -> Option<Content> {
    let name = match escaped {
        true => line::unescape(name)?,
        false => line::until_nul(name).to_owned(),
    };
    let entry = Entry::new(checksum, OsString::from_vec(name));
    Some(Content::Entry(entry))
}

/// Parses `name 05c801f0` and `name adler32:05c801f0`. Only after a URL, as gfal-sum prints, the
/// checksum may lack its leading zeros, and only in a path, the name may contain spaces. Otherwise,
/// any text that ends with a word like "bad" would be a name and a checksum.
fn parse_name_first(line: &[u8]) -> Option<Entry> {
    let (name, word) = split_last_word(line)?;
    let checksum = labeled(word)
        .or_else(|| line::parse_checksum(word))
        .or_else(|| hexadecimal(word).filter(|_| is_url(name)))?;
    if name.iter().any(line::is_blank) && !is_path(name) {
        return None;
    }
    Some(Entry::new(checksum, local(name)))
}

/// Returns whether the name of a line with the name first could be the checksum as well. No line is
/// ambiguous if both are the same.
fn is_ambiguous(entry: &Entry) -> bool {
    let name = entry.name.as_encoded_bytes();
    let checksum = hexadecimal(name).or_else(|| labeled(name));
    checksum.is_some_and(|checksum| checksum != entry.checksum)
}

/// Parses the lines of `eos-adler32` and of `eos file info -m`.
fn parse_eos(line: &[u8]) -> Option<Entry> {
    let text = String::from_utf8_lossy(line);
    let field = |name: &str| {
        let (_, rest) = text.rsplit_once(&format!(" {name}="))?;
        rest.split(' ').next()
    };
    let (name, digits) = if let Some(rest) = line.strip_prefix(b"path=") {
        let end = find_last(rest, b" size=")?;
        (&rest[..end], field("adler32")?.as_bytes())
    } else {
        let rest = line.strip_prefix(b"keylength.file=")?;
        let end = rest.iter().position(line::is_blank)?;
        let length = usize::try_from(number(&rest[..end])?).ok()?;
        let (name, rest) = rest[end..]
            .strip_prefix(b" file=")?
            .split_at_checked(length)?;
        if !rest.starts_with(b" ") || field("xstype") != Some("adler") {
            return None;
        }
        // Zeros fill the space for longer checksums.
        let (digits, zeros) = field("xs")?.as_bytes().split_at_checked(DIGITS)?;
        if zeros.iter().any(|&byte| byte != b'0') {
            return None;
        }
        (name, digits)
    };
    let entry = Entry::new(hexadecimal(digits)?, OsString::from_vec(name.to_owned()));
    let size = field("size").and_then(|size| number(size.as_bytes()));
    Some(Entry { size, ..entry })
}

/// Returns whether this is the first line of an HTTP response, such as `HTTP/1.1 200 OK`.
fn is_status_line(line: &[u8]) -> bool {
    let mut words = line.split(line::is_blank);
    let version = words.next().and_then(|word| word.strip_prefix(b"HTTP/"));
    let digits = |word: &[u8]| {
        word.iter()
            .all(|byte| byte.is_ascii_digit() || *byte == b'.')
    };
    version.is_some_and(digits)
        && words
            .next()
            .is_some_and(|code| code.len() == 3 && digits(code))
}

/// Returns whether a field of an HTTP header can have this name. Labels of checksums are not such
/// names.
fn is_field_name(field: &[u8]) -> bool {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let is_label = labeled(&[field, b":0"].concat()).is_some();
    !field.is_empty() && field.iter().all(is_token) && !is_label
}

/// Finds a digest by its key, and returns its value if that is one.
fn find_digest<'a>(
    mut digests: impl Iterator<Item = &'a [u8]>,
    key: &[u8],
    value: impl Fn(&[u8]) -> Option<u32>,
) -> Option<Option<u32>> {
    let digest = digests.find_map(|digest| strip_label(digest, key))?;
    Some(value(digest))
}

/// Parses `:BcgB8A==:`, a byte sequence of a structured header.
fn byte_sequence(value: &[u8]) -> Option<u32> {
    let value = value.split(|&byte| byte == b';').next()?.trim_ascii_end();
    let base64 = value.strip_prefix(b":")?.strip_suffix(b":")?;
    let bytes = BASE64_STANDARD.decode(base64).ok()?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// Splits a line at a blank before its last word.
fn split_last_word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = line.iter().rposition(line::is_blank)?;
    let (name, word) = (&line[..blank], &line[blank + 1..]);
    let clear = name.last().is_some_and(|last| !line::is_blank(last)) && !word.is_empty();
    clear.then_some((name, word))
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn find_last(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).rposition(|window| window == what)
}

fn is_path(name: &[u8]) -> bool {
    name.starts_with(b"/") || is_url(name)
}

fn is_url(name: &[u8]) -> bool {
    let scheme = name.iter().take_while(|byte| byte.is_ascii_alphanumeric());
    let length = scheme.count();
    length > 0 && name[length..].starts_with(b"://")
}

/// Returns the path in a `file:` URL, and other names as they are.
fn local(name: &[u8]) -> OsString {
    let path = name
        .strip_prefix(b"file://")
        .filter(|path| path.starts_with(b"/"));
    OsString::from_vec(path.unwrap_or(name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use crate::line::End;
    use crate::line::Form;

    fn parse(line: &str) -> Content {
        Parser::new(false, None).parse(line.as_bytes())
    }

    fn entry(checksum: u32, name: &str) -> Content {
        Content::Entry(Entry::new(checksum, name))
    }

    fn sized(checksum: u32, name: &str, size: u64) -> Content {
        let entry = Entry::new(checksum, name);
        let size = Some(size);
        Content::Entry(Entry { size, ..entry })
    }

    #[test]
    fn the_forms_of_the_field() {
        for line in [
            "00040001  z",
            "40001  z",
            "40001 *z",
            "40001 z",
            "0x40001  z",
            "0X00040001 z",
            "ADLER32 (z) = 40001",
            "ADLER32 (z) = 0x40001",
            "adler32 (z) = 00040001",
            "adler32:40001  z",
            "ADLER32:00040001 z",
            "ad:40001  z",
            "AD:00040001 *z",
            "ADLER32=40001  z",
            "adler32=00040001 z",
            "adler32 00040001 z",
            "adler32: 40001 z",
            "z 00040001",
            "z ADLER32:40001",
            "z adler32=40001",
        ] {
            assert_eq!(parse(line), entry(0x4_0001, "z"), "{line}");
        }
        for line in [
            "\\40001  n\\nl",
            "\\ad:40001  n\\nl",
            "\\ADLER32 (n\\nl) = 40001",
        ] {
            assert_eq!(parse(line), entry(0x4_0001, "n\nl"), "{line}");
        }
        assert_eq!(parse("5C801F0  z"), entry(0x05c8_01f0, "z"));
    }

    #[test]
    fn lines_of_clients() {
        // xrdcp --cksum adler32:print
        assert_eq!(
            parse("adler32: 40001 /tmp/a b 4"),
            sized(0x4_0001, "/tmp/a b", 4)
        );
        let url = "root://localhost:1094//tmp/z";
        assert_eq!(
            parse(&format!("adler32: 40001 {url} 4")),
            sized(0x4_0001, url, 4)
        );
        assert_eq!(parse("adler32: 40001 z 4"), entry(0x4_0001, "z 4"));
        // gfal-sum
        assert_eq!(parse("file:///tmp/a b 40001"), entry(0x4_0001, "/tmp/a b"));
        assert_eq!(parse(&format!("{url} 00040001")), entry(0x4_0001, url));
        // eos-adler32 and eos file info -m
        assert_eq!(
            parse("path=/eos/a b size=4 time=0.01 adler32=00040001"),
            sized(0x4_0001, "/eos/a b", 4)
        );
        assert_eq!(
            parse(
                "keylength.file=8 file=/eos/a b size=4 mtime=1.0 fid=6 xstype=adler \
                 xs=0004000100000000 etag=\"1:00040001\" detached=0"
            ),
            sized(0x4_0001, "/eos/a b", 4)
        );
    }

    #[test]
    fn names_from_the_option() {
        for line in [
            "adler32 00040001",
            "adler32:40001",
            "ADLER32:00040001",
            "ad:40001",
            "adler32: 40001",
            "Digest: adler32=40001",
            "digest: md5=x, ADLER32=00040001",
            "Repr-Digest: adler=:AAQAAQ==:",
            "content-digest: sha-256=:x:, adler=:AAQAAQ==:;q=1",
        ] {
            assert_eq!(parse(line), Content::Unclear(NAMELESS), "{line}");
            let mut parser = Parser::new(false, Some(OsStr::new("z")));
            assert_eq!(
                parser.parse(line.as_bytes()),
                entry(0x4_0001, "z"),
                "{line}"
            );
        }
        for line in ["00040001", "40001", "0x40001 "] {
            assert_eq!(parse(line), Content::Misformatted, "{line}");
            let mut parser = Parser::new(false, Some(OsStr::new("z")));
            assert_eq!(
                parser.parse(line.as_bytes()),
                entry(0x4_0001, "z"),
                "{line}"
            );
        }
    }

    #[test]
    fn headers_of_a_response() {
        let mut parser = Parser::new(false, Some(OsStr::new("z")));
        for (line, content) in [
            ("HTTP/1.1 200 OK", Content::Nothing),
            ("Date: Thu, 01 Jan 1970 00:00:00 GMT", Content::Nothing),
            ("Digest: adler32=3DA0195", entry(0x03da_0195, "z")),
            ("Digest: sha-256=x", Content::Nothing),
            ("Digest: adler32=3DA01950a", Content::Misformatted),
            ("Repr-Digest: adler=:A9oBlQ==:", entry(0x03da_0195, "z")),
            ("Repr-Digest: adler=:A9oBlQ:", Content::Misformatted),
            ("Repr-Digest: adler=:A9oB:", Content::Misformatted),
            // These are no fields, so they are not passed over.
            ("adler32: 40001 /z 4", sized(0x4_0001, "/z", 4)),
            ("ad:40001  a:b", entry(0x4_0001, "a:b")),
            ("ADLER32 (a:b) = 00040001", entry(0x4_0001, "a:b")),
            ("00040001  a: b", entry(0x4_0001, "a: b")),
            ("what is this", Content::Misformatted),
            ("", Content::Nothing),
            ("Date: Thu, 01 Jan 1970 00:00:00 GMT", Content::Misformatted),
        ] {
            assert_eq!(parser.parse(line.as_bytes()), content, "{line}");
        }
    }

    #[test]
    fn nothing_is_guessed() {
        for line in ["abc 05c801f0", "deadbeef 05c801f0", "4 ad:05c801f0"] {
            assert_eq!(parse(line), Content::Unclear(AMBIGUOUS), "{line}");
        }
        assert_eq!(parse("05c801f0 05c801f0"), entry(0x05c8_01f0, "05c801f0"));
        // Two spaces are between a checksum and a name only.
        assert_eq!(parse("abc  05c801f0"), entry(0xabc, "05c801f0"));
        // Earlier lines of the list show the order.
        for (first, name) in [("z 05c801f0", "deadbeef"), ("05c801f0 z", "05c801f0")] {
            let mut parser = Parser::new(false, None);
            assert!(matches!(parser.parse(first.as_bytes()), Content::Entry(_)));
            let Content::Entry(entry) = parser.parse(b"deadbeef 05c801f0") else {
                panic!("{first}");
            };
            assert_eq!(entry.name, name);
        }
        for line in [
            "0040001  z",
            "123456789  z",
            "ad:123456789  z",
            "z 40001",
            "this is bad",
            "this is deadbeef",
            "MD5 (z) = 00040001",
            "md5:40001  z",
            "ADLER32 (z = 00040001",
            "z  00040001",
            "+40001  z",
            "0x  z",
            "adler32 z",
            "ADLER32",
            "Digest: sha-256=x",
            "HTTP/a 200",
            "path=z size=4 adler32=x",
            "keylength.file=9 file=z xstype=adler xs=00040001",
        ] {
            assert_eq!(parse(line), Content::Misformatted, "{line}");
        }
    }

    proptest! {
        /// What the command prints is never taken for anything else.
        #[test]
        fn our_own_lines_keep_their_meaning(
            checksum: u32,
            name in r"[ -~\xe9]{1,12}|[0-9a-f]{8}|https?://[a-z/ ]{1,9}|[a-z]{1,9} [0-9a-f]{8}",
            form in prop::sample::select(&[Form::Text, Form::Binary, Form::Tag, Form::Xrootd][..]),
        ) {
            let line = line::format(form, End::Newline, checksum, OsStr::new(&name));
            let line = line.strip_suffix(b"\n").expect("a line");
            let mut parser = Parser::new(false, None);
            let mut strict = Parser::new(true, None);
            if form == Form::Xrootd {
                // This line shows how many spaces there are.
                for parser in [&mut parser, &mut strict] {
                    prop_assert!(matches!(parser.parse(b"00000001 a"), Content::Entry(_)));
                }
            }
            prop_assert_eq!(parser.parse(line), strict.parse(line));
        }

        #[test]
        fn nothing_makes_it_panic(lines in vec(r"(ad(ler32)?[:= ] ?|HTTP/1 200|(Repr-)?Digest: ?|path=|keylength.file=[0-9] file=|\\\\)?[ -~\t]{0,12}( size=4| xstype=adler| adler32=| xs=0?)?[0-9a-f:= ]{0,9}", 0..5)) {
            let mut parser = Parser::new(false, Some(OsStr::new("z")));
            for line in lines {
                parser.parse(line.as_bytes());
            }
        }
    }

    #[test]
    fn strict_lists_have_the_forms_of_sha256sum() {
        let mut parser = Parser::new(true, Some(OsStr::new("z")));
        for line in [
            "40001  z",
            "ad:40001  z",
            "Digest: adler32=40001",
            "z 00040001",
        ] {
            assert_eq!(
                parser.parse(line.as_bytes()),
                Content::Misformatted,
                "{line}"
            );
        }
        assert_eq!(parser.parse(b"00040001  z"), entry(0x4_0001, "z"));
        assert_eq!(parser.parse(b"# comment"), Content::Nothing);
    }
}
