// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The device from C, by `include/uapi/linux/adler32.h`, in 32- and in 64-bit programs.

use crate::support::module;
use crate::support::trials;
use crate::support::try_sh;

trials!(after module::ensure_loaded:
    c_program_of_32_bits,
    c_program_of_64_bits,
);

#[track_caller]
fn assert_passes(program: &str) {
    let (success, output) = try_sh(program);
    assert!(
        success && output.ends_with("all right\n"),
        "{program}:\n{output}"
    );
}

fn c_program_of_32_bits() {
    assert_passes("adler32-compat-32");
}

fn c_program_of_64_bits() {
    assert_passes("adler32-compat-64");
}
