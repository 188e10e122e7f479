// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The start of both programs, without the Rust runtime.
//!
//! The runtime opens /dev/null in place of a closed standard input or output. Then no data would be
//! summed, or the output would be lost, without an error. The runtime also ignores SIGPIPE.

use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::CStr;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// The function that the C runtime calls.
///
/// # Safety
///
/// `argv` points to `argc` strings.
#[no_mangle]
pub unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    let argc = usize::try_from(argc).unwrap_or(0);
    let arguments: Vec<OsString> = (0..argc)
        .map(|i| {
            // SAFETY: The C runtime passes a pointer to a string at each index below `argc`.
            let argument = unsafe { CStr::from_ptr(*argv.add(i)) };
            OsString::from_vec(argument.to_bytes().to_vec())
        })
        .collect();
    adler32_cli::run(&arguments).into()
}
