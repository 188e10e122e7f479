// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Checksums in hexadecimal, as the programs of grid storage write them.

use crate::line::DIGITS;

/// Parses a checksum with a label, such as `adler32:40001`.
pub fn labeled(word: &[u8]) -> Option<u32> {
    let labels: [&[u8]; 5] = [b"adler32:", b"adler32=", b"ad:", b"adler:", b"adler="];
    labels
        .iter()
        .find_map(|label| strip_label(word, label))
        .and_then(hexadecimal)
}

/// Parses a checksum in hexadecimal, with all of its leading zeros or without any.
pub fn shortened(word: &[u8]) -> Option<u32> {
    let checksum = hexadecimal(word)?;
    // A program that omits zeros omits all of them. Less than eight digits with a leading zero are
    // a checksum that lost other digits.
    let incomplete = word.len() < DIGITS && word.starts_with(b"0") && word.len() > 1;
    (!incomplete || has_0x(word)).then_some(checksum)
}

/// Parses up to eight hexadecimal digits, with or without 0x.
pub fn hexadecimal(word: &[u8]) -> Option<u32> {
    let digits = match has_0x(word) {
        true => &word[2..],
        false => word,
    };
    if digits.is_empty() || digits.len() > DIGITS || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Parses a checksum in all its forms, for lists in which it cannot be confused with a name.
pub fn parse(word: &[u8]) -> Option<u32> {
    labeled(word).or_else(|| shortened(word))
}

fn has_0x(word: &[u8]) -> bool {
    word.starts_with(b"0x") || word.starts_with(b"0X")
}

/// Returns what follows the label, in upper or lower case.
pub fn strip_label<'a>(line: &'a [u8], label: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(label.len())?;
    start.eq_ignore_ascii_case(label).then_some(rest)
}
