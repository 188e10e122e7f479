// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Lines of JSON.

use std::ffi::OsStr;

use adler32::BackendKind;
use adler32::Sum;
use serde_json::json;
use serde_json::Value;

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
    format!("{object}\n").into_bytes()
}
