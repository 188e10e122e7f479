// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The functions that are measured.

use std::arch::asm;
use std::fmt;
use std::fmt::Display;
use std::fmt::Formatter;
use std::time::Duration;
use std::time::Instant;

use adler32::Adler32;
use serde::Serialize;

/// How successive calls depend on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Calls {
    /// Each starts from the checksum of no data, so that the processor can overlap them.
    Independent,
    /// Each starts from the result of the previous one.
    Dependent,
}

impl Calls {
    pub const ALL: [Self; 2] = [Self::Independent, Self::Dependent];
}

impl Display for Calls {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Independent => "Independent",
            Self::Dependent => "Dependent",
        })
    }
}

/// What a routine may use of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// General registers only.
    General,
    /// Vectors up to AVX2.
    Avx2,
    /// Everything.
    Any,
}

/// The part of a routine in the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind", content = "level")]
pub enum Role {
    /// An implementation of this project. It is compared with the best peer up to the level.
    Ours(Level),
    /// An implementation of another library.
    Peer(Level),
    /// Not a checksum: it shows what the memory and the caches allow.
    Limit,
}

type Value = dyn Fn(u32, &[u8]) -> u32;
type Time = dyn Fn(Calls, &[u8], u64) -> Duration;

/// A function over data.
pub struct Routine {
    pub name: String,
    pub role: Role,
    value: Box<Value>,
    time: Box<Time>,
}

impl Routine {
    /// Makes a routine from a function that updates a checksum, and from those that convert a value
    /// to such a checksum and back.
    pub fn new<S: Clone>(
        name: &str,
        role: Role,
        start: impl Fn(u32) -> S + Copy + 'static,
        update: impl Fn(S, &[u8]) -> S + Copy + 'static,
        value: impl Fn(S) -> u32 + Copy + 'static,
    ) -> Self {
        Self {
            name: name.to_owned(),
            role,
            value: Box::new(move |from, data| value(update(start(from), data))),
            time: Box::new(move |calls, data, count| match calls {
                Calls::Independent => independent(start(1), update, value, data, count),
                Calls::Dependent => dependent(start(1), update, value, data, count),
            }),
        }
    }

    /// Makes a routine from a function that updates a plain value.
    pub fn plain(
        name: &str,
        role: Role,
        update: impl Fn(u32, &[u8]) -> u32 + Copy + 'static,
    ) -> Self {
        Self::new(name, role, |value| value, update, |value| value)
    }

    /// Makes a routine from a function of this project.
    pub fn ours(
        name: &str,
        level: Level,
        update: impl Fn(Adler32, &[u8]) -> Adler32 + Copy + 'static,
    ) -> Self {
        Self::new(name, Role::Ours(level), checksum, update, Adler32::value)
    }

    /// Returns the value after `data` if it was `from` before.
    pub fn value(&self, from: u32, data: &[u8]) -> u32 {
        (self.value)(from, data)
    }

    /// Returns how long `count` calls take.
    pub fn time(&self, calls: Calls, data: &[u8], count: u64) -> Duration {
        (self.time)(calls, data, count)
    }
}

/// Returns the checksum with a value.
pub fn checksum(value: u32) -> Adler32 {
    Adler32::from_value(value).expect("a value that data can have")
}

// The compiler makes these loops for each routine alone, without any other call in them.

#[inline(never)]
fn independent<S: Clone>(
    start: S,
    update: impl Fn(S, &[u8]) -> S,
    value: impl Fn(S) -> u32,
    data: &[u8],
    count: u64,
) -> Duration {
    let begin = Instant::now();
    for _ in 0..count {
        used(value(update(start.clone(), opaque(data))));
    }
    begin.elapsed()
}

#[inline(never)]
fn dependent<S>(
    start: S,
    update: impl Fn(S, &[u8]) -> S,
    value: impl Fn(S) -> u32,
    data: &[u8],
    count: u64,
) -> Duration {
    let begin = Instant::now();
    let mut sum = start;
    for _ in 0..count {
        sum = update(sum, opaque(data));
    }
    used(value(sum));
    begin.elapsed()
}

/// Returns the same slice, but hides from the compiler that it is the same. Unlike
/// [`std::hint::black_box`], leaves the pointer and the length in registers.
#[inline(always)]
fn opaque(data: &[u8]) -> &[u8] {
    let (mut start, mut len) = (data.as_ptr(), data.len());
    // SAFETY: The assembly contains no instruction, so the pointer and the length do not change.
    unsafe {
        asm!("/* {start} {len} */", start = inout(reg) start, len = inout(reg) len,
            options(nostack, preserves_flags));
        std::slice::from_raw_parts(start, len)
    }
}

/// Makes the compiler compute the value.
#[inline(always)]
fn used(value: u32) {
    // SAFETY: The assembly contains no instruction.
    unsafe { asm!("/* {0:e} */", in(reg) value, options(nostack, preserves_flags)) }
}
