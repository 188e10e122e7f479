// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The Adler-32 checksum of RFC 1950, sections 2.2 and 8.2.
//!
//! The checksum of the bytes `d[0]..d[n-1]` is `s2 << 16 | s1` where, modulo 65521,
//!
//! ```text
//! s1 = 1 + d[0] + d[1] + ... + d[n-1]
//! s2 = n + n*d[0] + (n-1)*d[1] + ... + 1*d[n-1]
//! ```
//!
//! The kernel module and the user-space library both compile the files of this directory, which
//! depend on nothing but `core`.

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod arm64;
mod platform;
mod portable;
pub mod select;
pub mod verify;
#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
mod x86;

pub use self::{
    platform::{
        Platform,
        Runnable, //
    },
    portable::update as portable, //
};

/// The modulus: the largest prime below 2^16.
pub const MODULUS: u32 = 65521;

/// An Adler-32 value.
///
/// # Invariants
///
/// Both 16-bit halves are below [`MODULUS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adler32(u32);

impl Adler32 {
    /// The value of no data.
    // INVARIANT: The halves are 0 and 1.
    pub const EMPTY: Self = Self(1);

    /// Makes a checksum from its value, or returns `None` if no data can have that value.
    pub const fn from_value(value: u32) -> Option<Self> {
        if value & 0xffff < MODULUS && value >> 16 < MODULUS {
            // INVARIANT: Both halves were checked just now.
            Some(Self(value))
        } else {
            None
        }
    }

    /// Returns the value: `s2` in the upper and `s1` in the lower 16 bits.
    pub const fn value(self) -> u32 {
        self.0
    }

    /// Makes a checksum from its four bytes in network byte order, or returns `None` if no data can
    /// have that value.
    pub const fn from_be_bytes(bytes: [u8; 4]) -> Option<Self> {
        Self::from_value(u32::from_be_bytes(bytes))
    }

    /// Returns the four bytes of the value in network byte order, as RFC 1950 stores them.
    pub const fn to_be_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    /// Returns the checksum of two parts in sequence. `self` is the checksum of the first part.
    /// `part` is the checksum of the second part, which is `part_len` bytes long.
    ///
    /// The number of operations is small and does not depend on the length.
    pub const fn combine(self, part: Self, part_len: u64) -> Self {
        // The first part has the sums a1 and a2. In each of the n steps of the second part, s1 is
        // larger by a1 - 1 than without the first part: s1 = a1 + (b1 - 1), and
        // s2 = a2 + b2 + n * (a1 - 1). All terms are below 2 * MODULUS^2 < 2^33, so nothing
        // overflows a u64.
        let modulus = MODULUS as u64;
        let n = part_len % modulus;
        let (a1, a2) = self.sums();
        let (b1, b2) = part.sums();
        let s1 = (a1 + b1 + modulus - 1) % modulus;
        let s2 = (a2 + b2 + n * (a1 + modulus - 1)) % modulus;
        // INVARIANT: Both were reduced just now.
        Self((s2 << 16 | s1) as u32)
    }

    const fn sums(self) -> (u64, u64) {
        ((self.0 & 0xffff) as u64, (self.0 >> 16) as u64)
    }

    /// Makes a checksum from two sums of any size.
    const fn reduce(s1: u64, s2: u64) -> Self {
        // INVARIANT: Both are reduced here.
        Self((((s2 % MODULUS as u64) << 16) | (s1 % MODULUS as u64)) as u32)
    }

    /// Appends `len` bytes, of which `sums` are the sums.
    #[cfg(any(
        all(target_arch = "aarch64", target_endian = "little"),
        all(target_arch = "x86_64", target_pointer_width = "64")
    ))]
    #[inline(always)]
    fn append(self, len: usize, sums: Sums) -> Self {
        let (s1, s2) = self.sums();
        Self::reduce(s1 + sums.plain, s2 + len as u64 * s1 + sums.weighted)
    }

    /// Does what [`Self::append`] does, with 32-bit arithmetic. `len` is at most [`LONGEST_SHORT`].
    #[cfg(any(
        all(target_arch = "aarch64", target_endian = "little"),
        all(target_arch = "x86_64", target_pointer_width = "64")
    ))]
    #[inline(always)]
    fn append_short(self, len: usize, sums: Sums) -> Self {
        let (s1, s2) = self.append_unreduced(len, sums);
        // INVARIANT: Both are reduced here.
        Self(((s2 % MODULUS) << 16) | (s1 % MODULUS))
    }

    /// Does what [`Self::append_short`] does, with one division less. `len` is at most 256.
    #[inline(always)]
    fn append_tiny(self, len: usize, sums: Sums) -> Self {
        let (s1, s2) = self.append_unreduced(len, sums);
        // s1 is at most 65,520 + 256 * 255, which is less than twice the modulus.
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

/// The sums of some bytes without a start value.
struct Sums {
    /// `d[0] + d[1] + ... + d[n-1]`
    plain: u64,
    /// `n*d[0] + (n-1)*d[1] + ... + 1*d[n-1]`
    weighted: u64,
}

/// The largest number of bytes for which `s2` fits in 32 bits before it is reduced. `s2` is largest
/// if all bytes are 255 and both start values are `MODULUS - 1`. For `n` bytes it is then
/// `255 * n * (n + 1) / 2 + (n + 1) * (MODULUS - 1)`.
#[cfg(any(
    all(target_arch = "aarch64", target_endian = "little"),
    all(target_arch = "x86_64", target_pointer_width = "64")
))]
const LONGEST_SHORT: usize = {
    let mut n = 0;
    while largest_s2(n + 1) <= u32::MAX as u64 {
        n += 1;
    }
    n as usize
};

#[cfg(any(
    all(target_arch = "aarch64", target_endian = "little"),
    all(target_arch = "x86_64", target_pointer_width = "64")
))]
const fn largest_s2(n: u64) -> u64 {
    255 * n * (n + 1) / 2 + (n + 1) * (MODULUS as u64 - 1)
}

/// A set of processor features. In the kernel, a feature counts only if the kernel saves and
/// restores its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features(u32);

impl Features {
    /// No features: general registers only.
    pub const NONE: Self = Self(0);
    /// x86-64: AVX2.
    pub const AVX2: Self = Self(1 << 0);
    /// x86-64: AVX-512 F, BW, VL and VNNI.
    pub const AVX512_VNNI: Self = Self(1 << 1);
    /// arm64: NEON, which the architecture calls Advanced SIMD.
    pub const NEON: Self = Self(1 << 2);
    /// arm64: the dot product of NEON.
    pub const DOTPROD: Self = Self(1 << 3);

    /// Returns the union of this set and `other`.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether this set contains all of `other`.
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
    /// Makes an implementation from a function that continues a checksum over bytes in general
    /// registers only.
    pub const fn new(name: &'static str, update: fn(Adler32, &[u8]) -> Adler32) -> Self {
        Self {
            name,
            requires: Features::NONE,
            update,
        }
    }

    /// Returns the name that users see.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the features that [`Self::update()`] requires.
    pub const fn requires(&self) -> Features {
        self.requires
    }

    /// Continues a checksum over `data`.
    ///
    /// # Safety
    ///
    /// The processor must have the features that [`Self::requires()`] returns. Unless these are
    /// [`Features::NONE`], the caller must allow the function to change the vector registers.
    #[inline]
    pub unsafe fn update(&self, start: Adler32, data: &[u8]) -> Adler32 {
        // SAFETY: The caller guarantees the same requirements, which are those of the function.
        unsafe { (self.update)(start, data) }
    }
}

/// The implementation in general registers. It runs in every context on every processor, and faster
/// implementations are compared with it before they are used.
pub const PORTABLE: Implementation = Implementation::new("portable", portable);

/// The implementation for [`Features::AVX2`].
#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
const AVX2: Implementation = Implementation {
    name: "avx2",
    requires: Features::AVX2,
    update: x86::avx2::update,
};

/// The implementation for [`Features::AVX512_VNNI`].
#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
const AVX512_VNNI: Implementation = Implementation {
    name: "avx512-vnni",
    requires: Features::AVX2.with(Features::AVX512_VNNI),
    update: x86::avx512_vnni::update,
};

/// The implementation for [`Features::NEON`].
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
const NEON: Implementation = Implementation {
    name: "neon",
    requires: Features::NEON,
    update: arm64::neon::update,
};

/// The implementation for [`Features::DOTPROD`].
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
const NEON_DOTPROD: Implementation = Implementation {
    name: "neon-dotprod",
    requires: Features::NEON.with(Features::DOTPROD),
    update: arm64::neon_dotprod::update,
};

/// All implementations, from the slowest to the fastest.
pub const IMPLEMENTATIONS: &[Implementation] = &[
    PORTABLE,
    #[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
    AVX2,
    #[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
    AVX512_VNNI,
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    NEON,
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    NEON_DOTPROD,
];
