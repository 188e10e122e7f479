// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Compares the C header with the Rust ABI: every constant, ioctl number, structure and member must
//! be the same, for 64- and 32-bit programs. Also compares the facts in the pages about the ABI.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::mem::offset_of;
use std::path::Path;
use std::process::Command;

use adler32::request;
use adler32::uapi;

const RUST: &str = include_str!("../../../src/uapi.rs");
const HEADER: &str = include_str!("../../../include/uapi/linux/adler32.h");
const MANUAL: &str = include_str!("../../../docs/man/adler32.4");
const PAGE: &str = include_str!("../../../docs/ABI/testing/dev-adler32");
const INCLUDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../include/uapi");

/// Constants: the name in Rust, the name in C, and the value.
const CONSTANTS: [(&str, &str, u64); 11] = [
    (
        "ABI_VERSION",
        "ADLER32_ABI_VERSION",
        uapi::ABI_VERSION as u64,
    ),
    ("IOC_TYPE", "ADLER32_IOC_TYPE", uapi::IOC_TYPE as u64),
    ("NR_RESET", "ADLER32_RESET", request::RESET as u64),
    ("NR_GET", "ADLER32_GET", request::GET as u64),
    ("NR_SET", "ADLER32_SET", request::SET as u64),
    ("NR_UPDATE", "ADLER32_UPDATE", request::UPDATE as u64),
    ("NR_DIGEST", "ADLER32_DIGEST", request::DIGEST as u64),
    ("NR_COMBINE", "ADLER32_COMBINE", request::COMBINE as u64),
    ("NR_INFO", "ADLER32_INFO", request::INFO as u64),
    ("MAX_BUFFER", "ADLER32_MAX_BUFFER", uapi::MAX_BUFFER),
    ("MAX_LENGTH", "ADLER32_MAX_LENGTH", uapi::MAX_LENGTH),
];

/// Names that the header does not define.
const ONLY_IN_RUST: [&str; 3] = ["ALG_NAME", "DEVICE_NAME", "DRIVER_NAME"];

/// A type of a member.
trait Member {
    fn c_type(&self) -> String;
}

impl Member for u32 {
    fn c_type(&self) -> String {
        "__u32".to_owned()
    }
}

impl Member for u64 {
    fn c_type(&self) -> String {
        "__u64".to_owned()
    }
}

impl<const N: usize> Member for [u8; N] {
    fn c_type(&self) -> String {
        format!("char[{N}]")
    }
}

/// Asserts that a structure has no padding, and returns its name and assertions in C. Compiles only
/// if it lists all members.
macro_rules! structure {
    ($name:ident { $($member:ident),* }) => {{
        let c_name = format!("struct adler32_{}", stringify!($name).to_lowercase());
        let uapi::$name { $($member),* } = uapi::$name::default();
        let mut c = format!(
            "_Static_assert(sizeof({c_name}) == {}, \"{c_name}\");\n",
            size_of::<uapi::$name>(),
        );
        let mut end = 0;
        $(
            let offset = offset_of!(uapi::$name, $member);
            assert_eq!(offset, end, "padding before {}", stringify!($member));
            end += size_of_val(&$member);
            c += &member(&c_name, stringify!($member), offset, &$member.c_type());
        )*
        assert_eq!(end, size_of::<uapi::$name>(), "padding at the end of {c_name}");
        (stringify!($name), c)
    }};
}

fn member(structure: &str, name: &str, offset: usize, c_type: &str) -> String {
    format!(
        "_Static_assert(__builtin_offsetof({structure}, {name}) == {offset}, \"{name}\");\n\
         _Static_assert(__builtin_types_compatible_p(\
         __typeof__((({structure} *)0)->{name}), {c_type}), \"{name}\");\n"
    )
}

fn structures() -> [(&'static str, String); 4] {
    [
        structure!(State {
            value,
            reserved,
            length
        }),
        structure!(Buffer { address, length }),
        structure!(Digest {
            address,
            length,
            value,
            reserved
        }),
        structure!(Info {
            abi_version,
            reserved,
            implementation,
            module_version
        }),
    ]
}

/// Returns the C compiler with the path of the kernel's headers. Debian installs them in the
/// directory of the 64-bit architecture only, but they are valid for 32-bit programs as well.
fn cc() -> Command {
    let multiarch = Command::new("cc")
        .arg("-print-multiarch")
        .output()
        .expect("cc runs");
    let multiarch = String::from_utf8(multiarch.stdout).expect("a directory name");
    let mut cc = Command::new("cc");
    cc.args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-I", INCLUDE]);
    cc.arg("-isystem")
        .arg(Path::new("/usr/include").join(multiarch.trim()));
    cc
}

fn header_agrees_with(options: &[&str]) {
    let mut c = String::from("#include <linux/adler32.h>\n");
    for (_, name, value) in CONSTANTS {
        writeln!(c, "_Static_assert({name} == {value:#x}ULL, \"{name}\");").unwrap();
    }
    c.extend(structures().map(|(_, assertions)| assertions));

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("abi.c");
    fs::write(&file, c).unwrap();
    let output = cc()
        .args(options)
        .arg("-fsyntax-only")
        .arg(&file)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn header_agrees() {
    header_agrees_with(&[]);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn header_agrees_in_32_bit_programs() {
    header_agrees_with(&["-m32"]);
}

/// Returns the names that follow `prefix` at the start of a line.
fn names<'a>(text: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    text.lines()
        .filter_map(|line| line.strip_prefix(prefix))
        .filter_map(|rest| {
            rest.split(|c: char| c != '_' && !c.is_alphanumeric())
                .next()
        })
        .collect()
}

#[test]
fn no_constant_is_left_out() {
    let output = cc()
        .args(["-E", "-dM"])
        .arg(Path::new(INCLUDE).join("linux/adler32.h"))
        .output()
        .unwrap();
    let macros = String::from_utf8(output.stdout).unwrap();
    let in_c: BTreeSet<&str> = names(&macros, "#define ")
        .into_iter()
        .filter(|name| name.starts_with("ADLER32_"))
        .collect();
    assert_eq!(in_c, CONSTANTS.map(|(_, c, _)| c).into());

    let mut known = BTreeSet::from(CONSTANTS.map(|(rust, _, _)| rust));
    known.extend(ONLY_IN_RUST);
    assert_eq!(names(RUST, "pub const "), known);
}

#[test]
fn no_structure_is_left_out() {
    let known = structures().map(|(name, _)| name);
    assert_eq!(names(RUST, "pub struct "), known.into());
    let in_c = known.map(str::to_lowercase);
    let in_c = in_c.each_ref().map(String::as_str);
    assert_eq!(names(HEADER, "struct adler32_"), in_c.into());
}

#[test]
fn pages_agree() {
    for (rust, c, _) in CONSTANTS {
        assert!(!rust.starts_with("NR_") || MANUAL.contains(c), "{c}");
    }
    let words: Vec<_> = PAGE.split_whitespace().collect();
    let page = words.join(" ");
    for fact in [
        format!("What: /dev/{} ", uapi::DEVICE_NAME.to_str().unwrap()),
        format!("type 0x{:X},", uapi::IOC_TYPE),
        format!("numbers 0x{:x} to", uapi::NR_RESET),
        format!("version of this interface, {},", uapi::ABI_VERSION),
    ] {
        assert!(page.contains(&fact), "{fact}");
    }
}
