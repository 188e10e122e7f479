// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How both programs start.
//!
//! What the Rust runtime does before its `main` would harm here: it opens /dev/null in place of a
//! closed standard input or output, so that nothing is summed, or what is printed is lost, and no error
//! tells; and it ignores SIGPIPE.

use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::CStr;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// Where a program begins in C.
///
/// # Safety
///
/// `argv` points to `argc` strings.
#[no_mangle]
pub unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    let argc = usize::try_from(argc).unwrap_or(0);
    let arguments: Vec<OsString> = (0..argc)
        .map(|i| {
            // SAFETY: By this function's requirements, there is a pointer to a string at each index
            // below `argc`.
            let argument = unsafe { CStr::from_ptr(*argv.add(i)) };
            OsString::from_vec(argument.to_bytes().to_vec())
        })
        .collect();
    c_int::from(!adler32_cli::run(&arguments))
}
