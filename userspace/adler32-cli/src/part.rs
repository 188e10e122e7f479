// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Lines with checksums of parts of files, and the computation of whole checksums from them.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::ffi::OsStringExt;

use adler32::Adler32;
use adler32::BackendKind;
use adler32::Sum;
use serde_json::Value;

use crate::checksum;
use crate::json;
use crate::line;
use crate::ways::Summed;

/// The checksum of a part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The name of the file.
    pub name: OsString,
    /// The length of the whole file.
    pub size: u64,
    /// The offset of the part.
    pub offset: u64,
    /// The checksum and the length of the part.
    pub sum: Sum,
}

impl Part {
    /// Returns a line such as `05c801f0  0:5/9  name`: checksum, offset, length, size, and name.
    pub fn line(&self) -> Vec<u8> {
        let (backslash, name) = line::escape(&self.name);
        let Sum { checksum, length } = self.sum;
        let (checksum, offset, size) = (checksum.value(), self.offset, self.size);
        let start = format!("{backslash}{checksum:08x}  {offset}:{length}/{size}  ");
        [start.as_bytes(), &name, b"\n"].concat()
    }

    /// Returns a line of JSON.
    pub fn json(&self, summed: &Summed, backend: BackendKind) -> Vec<u8> {
        let mut object = json::summed(&self.name, summed, backend);
        object["offset"] = self.offset.into();
        object["size"] = self.size.into();
        json::line(object)
    }

    /// Parses a line of either form, plain or JSON, without its end. The error completes the
    /// sentence "line N is ...".
    pub fn parse(line: &[u8]) -> Result<Self, &'static str> {
        // Lines from a terminal, as from `ssh -t`, end with CR LF.
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let part = if line.starts_with(b"{") {
            Self::parse_json(line)
        } else {
            Self::parse_plain(line)
        };
        let part = part
            .filter(|part| is_name(&part.name))
            .ok_or("not a part of a file, as sum --range prints it")?;
        let end = part.offset.checked_add(part.sum.length);
        match end {
            Some(end) if end <= part.size => Ok(part),
            _ => Err("a part that ends after its file"),
        }
    }

    fn parse_plain(line: &[u8]) -> Option<Self> {
        let (escaped, line) = match line.strip_prefix(b"\\") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let end = line.iter().position(line::is_blank)?;
        let (digits, rest) = line.split_at(end);
        let rest = rest.strip_prefix(b"  ")?;
        let end = rest.iter().position(|&byte| byte == b' ')?;
        let (range, name) = (&rest[..end], rest[end..].strip_prefix(b"  ")?);
        let (offset, rest) = std::str::from_utf8(range).ok()?.split_once(':')?;
        let (length, size) = rest.split_once('/')?;
        let name = match escaped {
            true => line::unescape(name)?,
            false => name.to_owned(),
        };
        Some(Self {
            name: OsString::from_vec(name),
            size: size.parse().ok()?,
            offset: offset.parse().ok()?,
            sum: sum(digits, length.parse().ok()?)?,
        })
    }

    fn parse_json(line: &[u8]) -> Option<Self> {
        let object: Value = serde_json::from_slice(line).ok()?;
        let text = |key| object.get(key).and_then(Value::as_str);
        let number = |key| object.get(key).and_then(Value::as_u64);
        Some(Self {
            name: text("file")?.into(),
            size: number("size")?,
            offset: number("offset")?,
            sum: sum(text("adler32")?.as_bytes(), number("length")?)?,
        })
    }
}

/// Returns whether a file can have this name.
fn is_name(name: &OsStr) -> bool {
    !name.is_empty() && !name.as_bytes().contains(&0)
}

/// Returns the sum. Returns `None` if it covers no bytes but differs from the checksum of no bytes.
fn sum(digits: &[u8], length: u64) -> Option<Sum> {
    let checksum = Adler32::from_value(checksum::parse(digits)?)?;
    let sum = Sum { checksum, length };
    (length > 0 || sum == Sum::EMPTY).then_some(sum)
}

/// Computes the checksum of a file from its parts, or returns all errors in them.
pub fn combine(mut parts: Vec<Part>) -> Result<Sum, Vec<String>> {
    parts.sort_by_key(|part| (part.offset, part.sum.length));
    let size = parts.first().map_or(0, |part| part.size);
    if let Some(other) = parts.iter().find(|part| part.size != size) {
        return Err(vec![format!(
            "its parts are of a file of {size} bytes and of one of {}",
            other.size
        )]);
    }
    let mut wrong = Vec::new();
    let mut whole = Sum::EMPTY;
    let mut at = 0;
    for Part { offset, sum, .. } in parts {
        let end = offset + sum.length;
        if offset > at {
            wrong.push(missing(at, offset));
        } else if offset < at && sum.length > 0 {
            let both = at.min(end) - offset;
            wrong.push(format!("more than one part has {offset}:{both}"));
        }
        // The sum of the lengths could overflow if parts overlap.
        if wrong.is_empty() {
            whole = whole.combine(sum);
        }
        at = at.max(end);
    }
    if at < size {
        wrong.push(missing(at, size));
    }
    match wrong.is_empty() {
        true => Ok(whole),
        false => Err(wrong),
    }
}

fn missing(start: u64, end: u64) -> String {
    let length = end - start;
    format!("no part has {start}:{length}; sum it by --range {start}:{length}")
}

#[cfg(test)]
mod tests {
    use super::*;

    use adler32::processor;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn part(data: &[u8], offset: usize, length: usize) -> Part {
        Part {
            name: OsStr::new("file").to_owned(),
            size: data.len() as u64,
            offset: offset as u64,
            sum: processor::sum(&data[offset..][..length]),
        }
    }

    fn problems(parts: &[(usize, usize)]) -> Vec<String> {
        let parts = parts.iter();
        let parts = parts.map(|&(offset, length)| part(b"0123456789", offset, length));
        combine(parts.collect()).expect_err("something is wrong")
    }

    #[test]
    fn missing_parts_are_errors() {
        let missing = |start, length| {
            format!("no part has {start}:{length}; sum it by --range {start}:{length}")
        };
        assert_eq!(problems(&[(1, 9)]), [missing(0, 1)]);
        assert_eq!(problems(&[(0, 4), (6, 4)]), [missing(4, 2)]);
        assert_eq!(problems(&[(6, 3), (0, 4)]), [missing(4, 2), missing(9, 1)]);
        assert_eq!(problems(&[(5, 0)]), [missing(0, 5), missing(5, 5)]);
    }

    #[test]
    fn overlapping_parts_are_errors() {
        let twice = |at, length| format!("more than one part has {at}:{length}");
        assert_eq!(problems(&[(0, 6), (4, 6)]), [twice(4, 2)]);
        assert_eq!(problems(&[(0, 10), (0, 10)]), [twice(0, 10)]);
        assert_eq!(problems(&[(0, 10), (3, 2)]), [twice(3, 2)]);
        let huge = Part {
            name: "huge".into(),
            size: u64::MAX,
            offset: 0,
            sum: Sum {
                checksum: Adler32::EMPTY,
                length: u64::MAX,
            },
        };
        assert_eq!(
            combine(vec![huge.clone(), huge]),
            Err(vec![twice(0, u64::MAX)])
        );
    }

    #[test]
    fn parts_of_different_sizes_are_errors() {
        let parts = vec![part(b"abc", 0, 3), part(b"abcd", 3, 1)];
        let wrong = "its parts are of a file of 3 bytes and of one of 4";
        assert_eq!(combine(parts), Err(vec![wrong.to_owned()]));
    }

    #[test]
    fn other_lines_are_refused() {
        for line in [
            "",
            "{",
            "{}",
            "00000001",
            "00000001  name",
            "00000001  0:0  name",
            "00000001  0:0/0 name",
            "00000001  0:0/0  ",
            "00000001  0:0/0  na\0me",
            "00000001 0:0/0  name",
            "00000001  0:x/0  name",
            "00000001  -1:0/0  name",
            "00000001  0:18446744073709551616/0  name",
            "0000001  0:0/0  name",
            "fff10000  0:1/1  name",
            "00620062  0:0/1  name",
            "\\00000001  0:0/0  na\\me",
            r#"{"file":"","adler32":"00000001","length":0,"offset":0,"size":0}"#,
            r#"{"file":"a\u0000","adler32":"00000001","length":0,"offset":0,"size":0}"#,
            r#"{"file":"a","adler32":"00620062","length":0,"offset":0,"size":0}"#,
            r#"{"file":"a","adler32":"00000001","length":0}"#,
            r#"{"file":"a","adler32":"00000001","length":-1,"offset":0,"size":0}"#,
            r#"{"file":"a","adler32":1,"length":0,"offset":0,"size":0}"#,
        ] {
            let wrong = "not a part of a file, as sum --range prints it";
            assert_eq!(Part::parse(line.as_bytes()), Err(wrong), "{line}");
        }
        for line in [
            "00000001  0:2/1  name",
            "00000001  2:0/1  name",
            "00000001  18446744073709551615:1/18446744073709551615  name",
        ] {
            let wrong = "a part that ends after its file";
            assert_eq!(Part::parse(line.as_bytes()), Err(wrong), "{line}");
        }
    }

    #[test]
    fn a_line_may_end_with_cr_lf() {
        let part = part(b"abc", 1, 1);
        let line = part.line();
        let line = line.strip_suffix(b"\n").expect("a line");
        assert_eq!(Part::parse(&[line, b"\r"].concat()), Ok(part));
    }

    proptest! {
        #[test]
        fn parts_in_any_order_make_the_whole(
            data in vec(any::<u8>(), 0..2000),
            cuts in vec(any::<prop::sample::Index>(), 0..10),
            shuffle in any::<prop::sample::Index>(),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(data.len() + 1)).collect();
            cuts.extend([0, data.len()]);
            cuts.sort_unstable();
            let parts = cuts.windows(2);
            let mut parts: Vec<Part> =
                parts.map(|cut| part(&data, cut[0], cut[1] - cut[0])).collect();
            let turn = shuffle.index(parts.len());
            parts.rotate_left(turn);
            parts[turn..].reverse();
            prop_assert_eq!(combine(parts), Ok(processor::sum(&data)));
        }

        #[test]
        fn what_is_printed_can_be_read(
            name in vec(prop_oneof![1..=255u8, Just(b'\\'), Just(b' '), Just(b'\n')], 1..20),
            size: u64,
            cuts: [prop::sample::Index; 2],
            s1 in 0..65521u32,
            s2 in 0..65521u32,
        ) {
            let [offset, end] = cuts.map(|cut| cut.index(usize::MAX) as u64).map(|at| at.min(size));
            let sum = match offset.abs_diff(end) {
                0 => Sum::EMPTY,
                length => Sum {
                    checksum: Adler32::from_value(s2 << 16 | s1).expect("possible"),
                    length,
                },
            };
            let part = Part {
                name: OsStr::from_bytes(&name).to_owned(),
                size,
                offset: offset.min(end),
                sum,
            };
            let line = part.line();
            let (end, line) = line.split_last().expect("a line");
            prop_assert_eq!(*end, b'\n');
            prop_assert!(!line.contains(end));
            prop_assert_eq!(Part::parse(line), Ok(part));
        }
    }
}
