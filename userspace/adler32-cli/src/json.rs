// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Lines of JSON.

use std::ffi::OsStr;

use adler32::Sum;
use adler32::Via;
use serde_json::json;

/// Puts a line together.
pub fn line(name: &OsStr, sum: Sum, engine: Via) -> Vec<u8> {
    let object = json!({
        "file": name.to_string_lossy(),
        "adler32": format!("{:08x}", sum.checksum.value()),
        "length": sum.length,
        "engine": engine.name(),
    });
    format!("{object}\n").into_bytes()
}
