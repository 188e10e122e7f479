// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The implementation in general registers. It sums eight bytes at a time, in 16-bit lanes side by
//! side in 64-bit words.
//!
//! `n` bytes `d[0]..d[n-1]` increase the sums by
//!
//! ```text
//! s1: d[0] + d[1] + ... + d[n-1]
//! s2: n * s1 + n * d[0] + (n-1) * d[1] + ... + 1 * d[n-1]
//! ```
//!
//! The increase of `s1` is the plain sum of the bytes. The increase of `s2` is `n` times the former
//! `s1`, plus the weighted sum of the bytes. Zero bytes in front of the data change neither the
//! plain nor the weighted sum.

#![forbid(unsafe_code)]

use super::{
    Adler32,
    Sums, //
};

/// The low byte of each 16-bit lane.
const LOW: u64 = 0x00ff_00ff_00ff_00ff;

/// The low half of each 32-bit lane.
const LOW_HALVES: u64 = 0x0000_ffff_0000_ffff;

/// Multiplying by this leaves the sum of all lanes in the top lane, if that sum fits in 16 bits.
const ONES: u64 = 0x0001_0001_0001_0001;

/// Multiplying by this leaves a weighted sum of the lanes in the top lane, if that sum fits in 16
/// bits. The weights are 7, 5, 3 and 1, from the lowest lane up.
const ODD: u64 = 0x0007_0005_0003_0001;

/// The number of bytes in a word.
const WORD: usize = 8;

/// The number of bytes in 16 words, the most words for which the lanes of [`Lanes`] are wide
/// enough.
const BLOCK: usize = 16 * WORD;

/// The sums of up to 16 words. Bytes at even and at odd positions in the words are summed apart.
///
/// In a little-endian word, the bytes at even positions are in the low halves of the 16-bit lanes
/// (`even`), and those at odd positions in the high halves (`odd`). The word is `even + 256 * odd`.
/// This linear relation also holds for sums of words, modulo 2^64. So it is enough to add up the
/// words as they are, and their odd bytes. The sums of the even bytes follow from these.
///
/// After `k` words, a lane of `odd` is at most 255 * k, and a lane of `odd_before` is at most
/// 255 * k*(k-1)/2. For 16 words, that is 4,080 and 30,600. The even bytes have the same limits. So
/// no lane overflows.
#[derive(Clone, Copy, Default)]
struct Lanes {
    /// The sum of the words, modulo 2^64.
    words: u64,
    /// The sum of the values of `words` before each word, modulo 2^64.
    words_before: u64,
    /// The sum of the odd bytes.
    odd: u64,
    /// The sum of the values of `odd` before each word.
    odd_before: u64,
}

impl Lanes {
    /// Adds a word. `odd` contains its odd bytes.
    #[inline(always)]
    fn add(&mut self, word: u64, odd: u64) {
        self.words_before = self.words_before.wrapping_add(self.words);
        self.words = self.words.wrapping_add(word);
        self.odd_before = self.odd_before.wrapping_add(self.odd);
        self.odd = self.odd.wrapping_add(odd);
    }

    /// Returns the plain and the weighted sum of all bytes.
    #[inline(always)]
    fn sums(self) -> Sums {
        let even = self.words.wrapping_sub(self.odd << 8);
        let even_before = self.words_before.wrapping_sub(self.odd_before << 8);

        // Within a word, the odd bytes have the weights 7, 5, 3 and 1, and the even bytes have the
        // weights 8, 6, 4 and 2. Each product is at most 16 * 4,080 = 65,280 in the top lane.
        let even_sum = even.wrapping_mul(ONES) >> 48;
        let odd_sum = self.odd.wrapping_mul(ONES) >> 48;
        let in_words =
            (even.wrapping_mul(ODD) >> 48) + (self.odd.wrapping_mul(ODD) >> 48) + even_sum;

        // For each word that follows, the weight of a byte is 8 larger. Lanes are at most 61,200.
        let before = even_before.wrapping_add(self.odd_before);
        let pairs = (before & LOW_HALVES) + (before >> 16 & LOW_HALVES);
        let words_after = (pairs & 0xffff_ffff) + (pairs >> 32);

        Sums {
            plain: even_sum + odd_sum,
            weighted: in_words + 8 * words_after,
        }
    }
}

/// Returns the first word, or 0 if there are fewer bytes than a word.
#[inline(always)]
fn first_word(data: &[u8]) -> u64 {
    data.first_chunk()
        .map_or(0, |&bytes| u64::from_le_bytes(bytes))
}

/// Returns a word with `data`, up to seven bytes, at its end and zeros in front of them.
#[inline(always)]
fn partial_word(data: &[u8]) -> u64 {
    data.iter()
        .fold(0, |word, &byte| word >> 8 | u64::from(byte) << 56)
}

/// Sums 9 to 16 bytes as two words. The first word may lack some of its bytes.
#[inline(always)]
fn two_words(data: &[u8]) -> Sums {
    let first = first_word(data) << (8 * (2 * WORD - data.len()));
    let last = data
        .last_chunk()
        .map_or(0, |&word| u64::from_le_bytes(word));
    // No lane exceeds 255 * 4.
    let first_odd = first >> 8 & LOW;
    let first_pairs = (first & LOW) + first_odd;
    let odd = first_odd + (last >> 8 & LOW);
    let pairs = first_pairs + (last & LOW) + (last >> 8 & LOW);
    // The weight of a pair is 8, 6, 4 or 2, and 8 more in the first word. The odd byte of a pair
    // has a weight one less. No lane becomes negative, and the top lane is at most 255 * (16 + 15 +
    // ... + 1).
    let weighted = pairs
        .wrapping_mul(0x0008_0006_0004_0002)
        .wrapping_add(first_pairs.wrapping_mul(8 * ONES))
        .wrapping_sub(odd.wrapping_mul(ONES));
    Sums {
        plain: pairs.wrapping_mul(ONES) >> 48,
        weighted: weighted >> 48,
    }
}

/// Sums up to 16 words. The first word may lack some of its bytes.
#[inline(always)]
fn short(data: &[u8]) -> Sums {
    let mut lanes = Lanes::default();
    let partial = data.len() % WORD;
    if partial > 0 {
        let first = if data.len() > WORD {
            first_word(data) << (8 * (WORD - partial))
        } else {
            partial_word(data)
        };
        lanes.add(first, first >> 8 & LOW);
    }
    let data = data.get(partial..).unwrap_or_default();
    for bytes in data.chunks_exact(WORD) {
        let word = first_word(bytes);
        lanes.add(word, word >> 8 & LOW);
    }
    lanes.sums()
}

/// Sums 16 words. One more byte follows them, so that the odd bytes of a word can be loaded without
/// a shift, from the word that begins one byte later.
#[inline(always)]
fn block(data: &[u8; BLOCK + 1]) -> Sums {
    let mut lanes = Lanes::default();
    let (even, odd) = (data.split_at(BLOCK).0, data.split_at(1).1);
    for (word, later) in even.chunks_exact(WORD).zip(odd.chunks_exact(WORD)) {
        lanes.add(first_word(word), first_word(later) & LOW);
    }
    lanes.sums()
}

/// After this many bytes the sums are reduced, which keeps them far below 2^64.
const CHUNK: usize = 1 << 20;

/// Continues a checksum over `data`.
pub fn update(start: Adler32, data: &[u8]) -> Adler32 {
    if let 9..=16 = data.len() {
        return start.append_tiny(data.len(), two_words(data));
    }
    if data.len() <= BLOCK {
        return start.append_tiny(data.len(), short(data));
    }
    data.chunks(CHUNK).fold(start, |start, mut data| {
        let (mut s1, mut s2) = start.sums();
        while let Some(first) = data.first_chunk() {
            let sums = block(first);
            s2 += BLOCK as u64 * s1 + sums.weighted;
            s1 += sums.plain;
            data = data.get(BLOCK..).unwrap_or_default();
        }
        let sums = short(data);
        s2 += data.len() as u64 * s1 + sums.weighted;
        s1 += sums.plain;
        Adler32::reduce(s1, s2)
    })
}
