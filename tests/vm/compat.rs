// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The device from C through `include/uapi/linux/adler32.h`: 32-bit and 64-bit test programs, and
//! the examples.

use std::fs;

use libtest_mimic::Completion;

use adler32_tests::module;
use adler32_tests::reference;
use adler32_tests::sh;
use adler32_tests::trials;
use adler32_tests::try_sh;

trials!(after module::ensure_loaded:
    c_program_of_32_bits,
    c_program_of_64_bits,
    c_example_of_a_session,
    c_example_of_a_digest,
);

fn passes(program: &str) -> Completion {
    if !try_sh(&format!("command -v {program}")).0 {
        return Completion::ignored_with(format!("{program} is not installed"));
    }
    let (success, output) = try_sh(program);
    assert!(
        success && output.ends_with("all right\n"),
        "{program}:\n{output}"
    );
    Completion::Completed
}

fn c_program_of_32_bits() -> Completion {
    passes("adler32-compat-32")
}

fn c_program_of_64_bits() -> Completion {
    passes("adler32-compat-64")
}

fn c_example_of_a_session() {
    let data = reference::noise(2_500_000, 71);
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), &data).expect("write");
    let path = file.path().display();
    assert_eq!(
        sh(&format!("example-session {path}")),
        format!("{:08x} 2500000 {path}\n", reference::adler(&data))
    );
    let (success, output) = try_sh("example-session /nowhere");
    assert!(
        !success && output.contains("/nowhere: No such file"),
        "{output}"
    );
}

fn c_example_of_a_digest() {
    assert_eq!(
        sh("example-digest abcde '' Wikipedia"),
        "05c801f0 abcde\n00000001 \n11e60398 Wikipedia\n"
    );
}
