// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The Adler-32 checksum of RFC 1950, sections 2.2 and 8.2.
//!
//! With `d[0]..d[n-1]` the data, the checksum is `s2 << 16 | s1` where, modulo 65521,
//!
//! ```text
//! s1 = 1 + d[0] + d[1] + ... + d[n-1]
//! s2 = n + n*d[0] + (n-1)*d[1] + ... + 1*d[n-1]
//! ```
//!
//! This folder depends on `core` alone: the kernel module and the user-space library compile the
//! same files.

mod platform;
mod portable;
pub mod select;
pub mod verify;
#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
mod x86;

pub use self::platform::Platform;
pub use self::platform::Runnable;
pub use self::portable::update as portable;

/// The modulus: the largest prime below 2^16.
pub const MODULUS: u32 = 65521;

/// An Adler-32 value: that of some data, or the running value of data not yet complete.
///
/// # Invariants
///
/// Both 16-bit halves are below [`MODULUS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adler32(u32);

impl Adler32 {
    /// The value of no data at all.
    // INVARIANT: The halves are 0 and 1.
    pub const EMPTY: Self = Self(1);

    /// Makes a checksum from its value, or returns `None` if no data can have that value.
    pub const fn from_value(value: u32) -> Option<Self> {
        if value & 0xffff < MODULUS && value >> 16 < MODULUS {
            // INVARIANT: Just checked.
            Some(Self(value))
        } else {
            None
        }
    }

    /// Returns the value, `s2` in the upper and `s1` in the lower 16 bits.
    pub const fn value(self) -> u32 {
        self.0
    }

    /// Makes a checksum from its four bytes in network order, or returns `None` if no data can
    /// have that value.
    pub const fn from_be_bytes(bytes: [u8; 4]) -> Option<Self> {
        Self::from_value(u32::from_be_bytes(bytes))
    }

    /// Returns the four bytes of the value in network order, as RFC 1950 stores them.
    pub const fn to_be_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    /// Returns the checksum of two parts in sequence, `self` being that of the first and `part`
    /// that of the second, which is `part_len` bytes long.
    ///
    /// Takes the same few operations for any length.
    pub const fn combine(self, part: Self, part_len: u64) -> Self {
        // Appending n bytes to a first part with sums a1, a2 adds to each of the n steps of s2
        // what s1 was before them: s1 = a1 + (b1 - 1), s2 = a2 + b2 + n * (a1 - 1).
        // All terms are below 2 * MODULUS^2 < 2^33, so that nothing overflows a u64.
        let modulus = MODULUS as u64;
        let n = part_len % modulus;
        let (a1, a2) = self.sums();
        let (b1, b2) = part.sums();
        let s1 = (a1 + b1 + modulus - 1) % modulus;
        let s2 = (a2 + b2 + n * (a1 + modulus - 1)) % modulus;
        // INVARIANT: Both were just reduced.
        Self((s2 << 16 | s1) as u32)
    }

    const fn sums(self) -> (u64, u64) {
        ((self.0 & 0xffff) as u64, (self.0 >> 16) as u64)
    }

    /// Makes a checksum of two sums of any size.
    const fn reduce(s1: u64, s2: u64) -> Self {
        // INVARIANT: Both are reduced here.
        Self((((s2 % MODULUS as u64) << 16) | (s1 % MODULUS as u64)) as u32)
    }

    /// Appends `len` bytes that have these sums.
    #[inline(always)]
    fn append(self, len: usize, sums: Sums) -> Self {
        let (s1, s2) = self.sums();
        Self::reduce(s1 + sums.plain, s2 + len as u64 * s1 + sums.weighted)
    }

    /// Appends `len` bytes, at most [`LONGEST_SHORT`], that have these sums: with 32-bit arithmetic.
    #[inline(always)]
    fn append_short(self, len: usize, sums: Sums) -> Self {
        let (s1, s2) = self.append_unreduced(len, sums);
        // INVARIANT: Both are reduced here.
        Self(((s2 % MODULUS) << 16) | (s1 % MODULUS))
    }

    /// Appends `len` bytes, at most 256, that have these sums: with one division only.
    #[inline(always)]
    fn append_tiny(self, len: usize, sums: Sums) -> Self {
        let (s1, s2) = self.append_unreduced(len, sums);
        // At most 65,520 + 256 * 255, less than twice the modulus.
        let s1 = if s1 < MODULUS { s1 } else { s1 - MODULUS };
        // INVARIANT: Both are reduced here.
        Self(((s2 % MODULUS) << 16) | s1)
    }

    #[inline(always)]
    fn append_unreduced(self, len: usize, sums: Sums) -> (u32, u32) {
        let (s1, s2) = (self.0 & 0xffff, self.0 >> 16);
        (
            s1 + sums.plain as u32,
            s2 + len as u32 * s1 + sums.weighted as u32,
        )
    }
}

/// The sums of some bytes by themselves.
struct Sums {
    /// `d[0] + d[1] + ... + d[n-1]`
    plain: u64,
    /// `n*d[0] + (n-1)*d[1] + ... + 1*d[n-1]`
    weighted: u64,
}

/// The most bytes for which `s2` fits in 32 bits before it is reduced: the largest `n` for which
/// `255 * n * (n + 1) / 2 + (n + 1) * (MODULUS - 1)`, the sum reached by bytes of 255 from the
/// largest start values, is below 2^32.
const LONGEST_SHORT: usize = {
    let mut n = 0;
    while largest_s2(n + 1) <= u32::MAX as u64 {
        n += 1;
    }
    n as usize
};

const fn largest_s2(n: u64) -> u64 {
    255 * n * (n + 1) / 2 + (n + 1) * (MODULUS as u64 - 1)
}

/// What implementations may need of the processor, and of the kernel, which must save the registers
/// that go with it: a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features(u32);

impl Features {
    /// General registers.
    pub const NONE: Self = Self(0);
    /// x86-64: AVX2.
    pub const AVX2: Self = Self(1 << 0);
    /// x86-64: AVX-512 F, BW, VL and VNNI.
    pub const AVX512_VNNI: Self = Self(1 << 1);

    /// Returns this set and `other` together.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether all of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One way to compute the checksum.
#[derive(Clone, Copy)]
pub struct Implementation {
    name: &'static str,
    requires: Features,
    update: unsafe fn(Adler32, &[u8]) -> Adler32,
}

impl Implementation {
    /// Makes one of a function that continues a checksum over the bytes given and needs nothing but
    /// general registers.
    pub const fn new(name: &'static str, update: fn(Adler32, &[u8]) -> Adler32) -> Self {
        Self {
            name,
            requires: Features::NONE,
            update,
        }
    }

    /// Returns the name by which users know it.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Returns without what [`Self::update()`] cannot be called.
    pub const fn requires(&self) -> Features {
        self.requires
    }

    /// Continues a checksum over the bytes given.
    ///
    /// # Safety
    ///
    /// The processor has what is required. Unless that is [`Features::NONE`], the vector registers
    /// are the caller's to change.
    #[inline]
    pub unsafe fn update(&self, start: Adler32, data: &[u8]) -> Adler32 {
        // SAFETY: The caller promises what the function asks for.
        unsafe { (self.update)(start, data) }
    }
}

/// Uses general registers only: runs in every context on every processor, and is what faster
/// implementations are checked against before they are used.
pub const PORTABLE: Implementation = Implementation::new("portable", portable);

/// AVX2, see [`Features::AVX2`].
#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
const AVX2: Implementation = Implementation {
    name: "avx2",
    requires: Features::AVX2,
    update: x86::avx2::update,
};

/// AVX-512 with VNNI, see [`Features::AVX512_VNNI`].
#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
const AVX512_VNNI: Implementation = Implementation {
    name: "avx512-vnni",
    requires: Features::AVX2.with(Features::AVX512_VNNI),
    update: x86::avx512_vnni::update,
};

/// All implementations, the slowest first.
pub const IMPLEMENTATIONS: &[Implementation] = &[
    PORTABLE,
    #[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
    AVX2,
    #[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
    AVX512_VNNI,
];
