// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What is measured.

use std::arch::asm;
use std::arch::is_x86_feature_detected;
use std::fmt;
use std::fmt::Display;
use std::fmt::Formatter;
use std::time::Duration;
use std::time::Instant;

use adler32::processor;
use adler32::Adler32;

use crate::limits::Memcpy;
use crate::limits::Read;
use crate::peers;

/// A function over data, with what it carries from one call to the next.
pub trait Routine {
    type Sum: Clone;

    fn start(value: u32) -> Self::Sum;
    fn value(sum: Self::Sum) -> u32;
    fn update(&self, sum: Self::Sum, data: &[u8]) -> Self::Sum;
}

/// How the calls of a batch relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Each starts afresh, so that the processor can overlap them.
    Independent,
    /// Each starts from the result of the one before.
    Dependent,
}

impl Mode {
    pub const ALL: [Self; 2] = [Self::Independent, Self::Dependent];
}

impl Display for Mode {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Independent => "Independent",
            Self::Dependent => "Dependent",
        })
    }
}

/// What a peer may use of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// General registers only.
    General,
    /// Vectors up to AVX2.
    Avx2,
    /// Whatever it chooses to.
    Any,
}

/// What a contender is to the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase", tag = "kind", content = "level")]
pub enum Role {
    /// An implementation of this project, compared with the best peer up to the level.
    Ours(Level),
    /// An implementation of others.
    Peer(Level),
    /// No checksum, but what memory allows.
    Limit,
}

/// A named routine.
pub struct Contender {
    pub name: String,
    pub role: Role,
    routine: Box<dyn Timed>,
}

impl Contender {
    pub fn new(name: &str, role: Role, routine: impl Routine + 'static) -> Self {
        Self {
            name: name.to_owned(),
            role,
            routine: Box::new(routine),
        }
    }

    /// Returns the value of the data, begun with `start`.
    pub fn value(&self, start: u32, data: &[u8]) -> u32 {
        self.routine.value(start, data)
    }

    /// Returns how long `calls` calls take.
    pub fn time(&self, mode: Mode, data: &[u8], calls: u64) -> Duration {
        self.routine.time(mode, data, calls)
    }
}

/// A routine, and loops that the compiler makes for it alone, without another call between.
trait Timed {
    fn value(&self, start: u32, data: &[u8]) -> u32;
    fn time(&self, mode: Mode, data: &[u8], calls: u64) -> Duration;
}

impl<R: Routine> Timed for R {
    fn value(&self, start: u32, data: &[u8]) -> u32 {
        R::value(self.update(R::start(start), data))
    }

    fn time(&self, mode: Mode, data: &[u8], calls: u64) -> Duration {
        match mode {
            Mode::Independent => independent(self, R::start(1), data, calls),
            Mode::Dependent => dependent(self, R::start(1), data, calls),
        }
    }
}

#[inline(never)]
fn independent<R: Routine>(routine: &R, start: R::Sum, data: &[u8], calls: u64) -> Duration {
    let begin = Instant::now();
    for _ in 0..calls {
        used(R::value(routine.update(start.clone(), opaque(data))));
    }
    begin.elapsed()
}

#[inline(never)]
fn dependent<R: Routine>(routine: &R, start: R::Sum, data: &[u8], calls: u64) -> Duration {
    let begin = Instant::now();
    let mut sum = start;
    for _ in 0..calls {
        sum = routine.update(sum, opaque(data));
    }
    used(R::value(sum));
    begin.elapsed()
}

/// Returns the same slice, of which the compiler knows nothing any more. Unlike
/// [`std::hint::black_box`], leaves pointer and length in registers.
#[inline(always)]
fn opaque(data: &[u8]) -> &[u8] {
    let (mut start, mut len) = (data.as_ptr(), data.len());
    // SAFETY: There is no instruction, and both are as before.
    unsafe {
        asm!("/* {start} {len} */", start = inout(reg) start, len = inout(reg) len,
            options(nostack, preserves_flags));
        std::slice::from_raw_parts(start, len)
    }
}

/// Makes the compiler compute the value.
#[inline(always)]
fn used(value: u32) {
    // SAFETY: There is no instruction.
    unsafe { asm!("/* {0:e} */", in(reg) value, options(nostack, preserves_flags)) }
}

/// A function that carries the value as it is.
struct OfValue<F>(F);

impl<F: Fn(u32, &[u8]) -> u32> Routine for OfValue<F> {
    type Sum = u32;

    fn start(value: u32) -> u32 {
        value
    }

    fn value(sum: u32) -> u32 {
        sum
    }

    #[inline(always)]
    fn update(&self, sum: u32, data: &[u8]) -> u32 {
        (self.0)(sum, data)
    }
}

/// A function of this project.
pub struct Ours<F>(pub F);

impl<F: Fn(Adler32, &[u8]) -> Adler32> Routine for Ours<F> {
    type Sum = Adler32;

    fn start(value: u32) -> Adler32 {
        Adler32::from_value(value).expect("a value that data can have")
    }

    fn value(sum: Adler32) -> u32 {
        sum.value()
    }

    #[inline(always)]
    fn update(&self, sum: Adler32, data: &[u8]) -> Adler32 {
        (self.0)(sum, data)
    }
}

/// Returns all contenders that this processor can run, for data of up to `largest` bytes.
pub fn all(largest: usize) -> Vec<Contender> {
    let mut all: Vec<_> = processor::runnable()
        .map(|runnable| {
            let level = match runnable.name() {
                "portable" => Level::General,
                "avx2" => Level::Avx2,
                _ => Level::Any,
            };
            let name = format!("adler32 {}", runnable.name());
            Contender::new(
                &name,
                Role::Ours(level),
                Ours(move |sum, data: &[u8]| runnable.update(sum, data)),
            )
        })
        .collect();

    let mut peer = |name, level, routine: Box<dyn Timed>| {
        let (name, role) = (String::from(name), Role::Peer(level));
        all.push(Contender {
            name,
            role,
            routine,
        });
    };
    peer(
        "libdeflate",
        Level::Any,
        Box::new(OfValue(peers::libdeflate)),
    );
    peer("zlib-ng", Level::Any, Box::new(OfValue(peers::zlib_ng)));
    if is_x86_feature_detected!("avx2") {
        peer(
            "libdeflate avx2",
            Level::Avx2,
            Box::new(OfValue(peers::libdeflate_avx2)),
        );
        peer(
            "zlib-ng avx2",
            Level::Avx2,
            Box::new(OfValue(peers::zlib_ng_avx2)),
        );
    }
    if peers::has_zlib_rs_avx512() {
        peer(
            "zlib-rs avx512",
            Level::Any,
            Box::new(OfValue(peers::zlib_rs_avx512)),
        );
    }
    peer("zlib-rs", Level::Avx2, Box::new(OfValue(peers::zlib_rs)));
    peer("simd-adler32", Level::Avx2, Box::new(peers::SimdAdler32));
    peer(
        "libdeflate general",
        Level::General,
        Box::new(OfValue(peers::libdeflate_general)),
    );
    peer(
        "zlib-ng general",
        Level::General,
        Box::new(OfValue(peers::zlib_ng_general)),
    );
    peer(
        "zlib general",
        Level::General,
        Box::new(OfValue(peers::zlib_general)),
    );
    peer("zlib", Level::General, Box::new(OfValue(peers::zlib)));
    peer("adler2", Level::General, Box::new(peers::Adler2));

    let read = Read::widest();
    let name = read.name();
    let read = OfValue(move |sum, data: &[u8]| sum | read.read(data));
    all.push(Contender::new(name, Role::Limit, read));
    let memcpy = Memcpy::new(largest);
    let memcpy = OfValue(move |sum, data: &[u8]| {
        memcpy.copy(data);
        sum
    });
    all.push(Contender::new("memcpy", Role::Limit, memcpy));
    all
}
