// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Lines of JSON.

use std::ffi::OsStr;

use adler32::file::Way;
use adler32::BackendKind;
use adler32::Sum;
use serde_json::json;
use serde_json::Value;

use crate::line::parse_checksum;
use crate::line::Entry;
use crate::ways::Summed;

/// Returns the line for a file.
pub fn whole(name: &OsStr, sum: Sum) -> Vec<u8> {
    line(object(name, sum))
}

/// Returns the object for a file, or a part of one, that the backend summed, or the device for it.
pub fn summed(name: &OsStr, summed: &Summed, backend: BackendKind) -> Value {
    let mut object = object(name, summed.sum);
    let backend = match backend {
        BackendKind::Cpu if summed.ways.contains(Way::Sent) => BackendKind::Device,
        backend => backend,
    };
    object["backend"] = backend.name().into();
    object["ways"] = summed.ways.json();
    object
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
    let mut line = format!("{object}\n");
    // serde_json escapes only the other control characters.
    for char in '\u{7f}'..='\u{9f}' {
        if line.contains(char) {
            line = line.replace(char, &format!("\\u{:04x}", u32::from(char)));
        }
    }
    line.into_bytes()
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
