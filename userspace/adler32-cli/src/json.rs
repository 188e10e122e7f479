// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Lines of JSON.

use std::ffi::OsStr;

use adler32::BackendKind;
use adler32::Sum;
use serde_json::json;
use serde_json::Value;

use crate::line::parse_checksum;
use crate::line::Entry;
use crate::part::Part;

/// Returns the line for a file.
pub fn whole(name: &OsStr, sum: Sum) -> Vec<u8> {
    line(object(name, sum))
}

/// Returns the line for a file that the backend summed.
pub fn summed(name: &OsStr, sum: Sum, backend: BackendKind) -> Vec<u8> {
    let mut object = object(name, sum);
    object["backend"] = backend.name().into();
    line(object)
}

/// Returns the line for a part that the backend summed.
pub fn part(part: &Part, backend: BackendKind) -> Vec<u8> {
    let mut object = object(&part.name, part.sum);
    object["backend"] = backend.name().into();
    object["offset"] = part.offset.into();
    object["size"] = part.size.into();
    line(object)
}

/// Returns the object for a file.
pub fn object(name: &OsStr, sum: Sum) -> Value {
    json!({
        "file": name.to_string_lossy(),
        "adler32": format!("{:08x}", sum.checksum.value()),
        "length": sum.length,
    })
}

/// Returns the line for an object.
pub fn line(object: Value) -> Vec<u8> {
    // serde_json escapes the other control characters.
    let escape = |char| match char {
        '\u{7f}'..='\u{9f}' => format!("\\u{:04x}", u32::from(char)),
        _ => char.to_string(),
    };
    let line: String = object.to_string().chars().map(escape).collect();
    format!("{line}\n").into_bytes()
}

/// Parses the line for a file. Returns `None` if it is not one.
pub fn parse(line: &[u8]) -> Option<Entry> {
    let object: Value = serde_json::from_slice(line).ok()?;
    let text = |key| object.get(key).and_then(Value::as_str);
    Some(Entry {
        size: Some(object.get("length")?.as_u64()?),
        ..Entry::new(parse_checksum(text("adler32")?.as_bytes())?, text("file")?)
    })
}
