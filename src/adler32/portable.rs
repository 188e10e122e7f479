// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Eight bytes at a time in general registers, with 16-bit lanes side by side in 64-bit words.
//!
//! For `n` bytes `d[0]..d[n-1]`, the sums grow by
//!
//! ```text
//! s1: d[0] + d[1] + ... + d[n-1]
//! s2: n * s1 + n * d[0] + (n-1) * d[1] + ... + 1 * d[n-1]
//! ```
//!
//! that is by the plain sum, and by `n` times the former `s1` and the weighted sum of the bytes.
//! Bytes of zero in front of the data change neither sum.

#![forbid(unsafe_code)]

use super::Adler32;
use super::Sums;

/// The low byte of each 16-bit lane.
const LOW: u64 = 0x00ff_00ff_00ff_00ff;

/// The low half of each 32-bit lane.
const LOW_HALVES: u64 = 0x0000_ffff_0000_ffff;

/// Multiplying by it leaves in the top lane the sum of all lanes, if that fits in 16 bits.
const ONES: u64 = 0x0001_0001_0001_0001;

/// Multiplying by it leaves in the top lane 7, 5, 3 and 1 times the lanes from the lowest up,
/// added, if that fits in 16 bits.
const ODD: u64 = 0x0007_0005_0003_0001;

/// The bytes of a word.
const WORD: usize = 8;

/// The largest number of words for which the lanes of [`Lanes`] are wide enough.
const BLOCK: usize = 16 * WORD;

/// The sums of up to 16 words, by the position of the bytes in the words.
///
/// A little-endian word has its bytes at even positions in the low halves of the 16-bit lanes
/// (`even`) and those at odd positions in the high halves (`odd`); the word is `even + 256 * odd`.
/// That linear relation holds for sums of words, too, modulo 2^64. So it is enough to add up the
/// words as they are and their odd bytes: the sums of the even bytes follow.
///
/// After `k` words, a lane of `odd` is at most 255 * k, and one of `odd_before` 255 * k*(k-1)/2,
/// that is for 16 words 4,080 and 30,600. The same goes for the even bytes: no lane overflows.
#[derive(Clone, Copy, Default)]
struct Lanes {
    /// Sum of the words, modulo 2^64.
    words: u64,
    /// Sum of what `words` was before each word, modulo 2^64.
    words_before: u64,
    /// Sum of the odd bytes.
    odd: u64,
    /// Sum of what `odd` was before each word.
    odd_before: u64,
}

impl Lanes {
    /// Adds a word, of which `odd` are the odd bytes.
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

        // Within a word, the bytes weigh 8 to 1: the odd ones 7, 5, 3, 1 and the even ones one
        // more. At most 16 * 4,080 = 65,280.
        let even_sum = even.wrapping_mul(ONES) >> 48;
        let odd_sum = self.odd.wrapping_mul(ONES) >> 48;
        let in_words =
            (even.wrapping_mul(ODD) >> 48) + (self.odd.wrapping_mul(ODD) >> 48) + even_sum;

        // For each word after them, bytes weigh 8 more. At most 61,200 in each lane.
        let before = even_before.wrapping_add(self.odd_before);
        let pairs = (before & LOW_HALVES) + (before >> 16 & LOW_HALVES);
        let words_after = (pairs & 0xffff_ffff) + (pairs >> 32);

        Sums {
            plain: even_sum + odd_sum,
            weighted: in_words + 8 * words_after,
        }
    }
}

/// Reads the first word, or 0 if there are fewer bytes.
#[inline(always)]
fn first_word(data: &[u8]) -> u64 {
    data.first_chunk()
        .map_or(0, |&bytes| u64::from_le_bytes(bytes))
}

/// The last bytes of a word, up to seven, in front of which there are bytes of zero.
#[inline(always)]
fn partial_word(data: &[u8]) -> u64 {
    data.iter()
        .fold(0, |word, &byte| word >> 8 | u64::from(byte) << 56)
}

/// Sums 9 to 16 bytes, as two words of which the first may lack some of its bytes.
#[inline(always)]
fn two_words(data: &[u8]) -> Sums {
    let first = first_word(data) << (8 * (2 * WORD - data.len()));
    let last = data
        .last_chunk()
        .map_or(0, |&word| u64::from_le_bytes(word));
    // No lane is above 255 * 4.
    let first_odd = first >> 8 & LOW;
    let first_pairs = (first & LOW) + first_odd;
    let odd = first_odd + (last >> 8 & LOW);
    let pairs = first_pairs + (last & LOW) + (last >> 8 & LOW);
    // A pair weighs 8, 6, 4 or 2, in the first word 8 more, its odd byte one less: no lane becomes
    // negative, and the top lane is at most 255 * (16 + 15 + ... + 1).
    let weighted = pairs
        .wrapping_mul(0x0008_0006_0004_0002)
        .wrapping_add(first_pairs.wrapping_mul(8 * ONES))
        .wrapping_sub(odd.wrapping_mul(ONES));
    Sums {
        plain: pairs.wrapping_mul(ONES) >> 48,
        weighted: weighted >> 48,
    }
}

/// Sums up to 16 words, of which the first may lack some of its bytes.
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

/// Sums 16 words. There is a byte after them, so that the odd bytes are at hand without a shift, in
/// the word that begins a byte later.
#[inline(always)]
fn block(data: &[u8; BLOCK + 1]) -> Sums {
    let mut lanes = Lanes::default();
    let (even, odd) = (data.split_at(BLOCK).0, data.split_at(1).1);
    for (word, later) in even.chunks_exact(WORD).zip(odd.chunks_exact(WORD)) {
        lanes.add(first_word(word), first_word(later) & LOW);
    }
    lanes.sums()
}

/// The most bytes for which the sums stay far below 2^64 without being reduced.
const CHUNK: usize = 1 << 20;

/// Continues a checksum over the bytes given.
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
