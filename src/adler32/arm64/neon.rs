// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The implementation for NEON, which every arm64 processor has that runs Linux programs.
//!
//! Up to 256 bytes, each byte is multiplied by its weight. Long data are summed in columns instead,
//! and multiplied by weights only after up to 64 rows, see [`chunk`].

use core::arch::asm;

use super::{
    first_vector,
    Adler32,
    Sums,
    TABLES,
    VECTOR, //
};

/// The number of bytes in a row.
const ROW: usize = 64;

/// The largest number of pairs of rows in a group. In the 64 rows of a group, a 16-bit lane of
/// pairs of bytes grows to at most 64 * 2 * 255 = 32,640. So two such lanes fit in 16 bits
/// together. In all four vectors of the rows, the odd bytes of a lane add up to at most
/// 64 * 4 * 255 = 65,280.
const GROUP: usize = 32;

/// The largest number of bytes that [`chunk`] sums: 1,024 rows, each with a plain sum of at most
/// 64 * 255 = 16,320, or 4,080 in a 32-bit lane. In a lane, `before` is then at most
/// 4,080 * (1,024 * 1,023 / 2), which is below 2^31. Added up over all lanes, `weighted` is at most
/// 65,536 * 255 * 64, which is below 2^31, and `plain` is below 2^24.
const CHUNK: usize = 64 * 1024;

/// Continues a checksum over `data`.
///
/// # Safety
///
/// The processor must have [`Features::NEON`](super::super::Features::NEON), and the caller must
/// allow this function to change the vector registers.
pub(in super::super) unsafe fn update(start: Adler32, data: &[u8]) -> Adler32 {
    // SAFETY: The caller guarantees the same requirements.
    unsafe { super::update(start, data, head, rows) }
}

/// Continues a checksum over `data`, which is longer than `MOST_WEIGHTS`. This is not inlined, so
/// that [`update`] need not save registers for short data.
///
/// # Safety
///
/// As for [`update`].
#[inline(never)]
unsafe fn rows(start: Adler32, data: &[u8]) -> Adler32 {
    // SAFETY: The caller guarantees the same requirements.
    unsafe { super::rows::<ROW, CHUNK>(start, data, head, chunk) }
}

/// Sums the first `len` bytes of `data` as one vector.
///
/// ```text
/// v0   the bytes, and then `plain`
/// v1   their mask, and then products
/// v2   the weights
/// ```
///
/// # Safety
///
/// As for [`update`]. `data` must have at least 16 bytes. `len` must be 1 to 16.
#[inline(always)]
pub(super) unsafe fn up_to_16(data: &[u8], len: usize) -> Sums {
    let (plain, weighted): (u64, u64);
    // SAFETY: The code reads the first 16 bytes of `data`, which the caller guarantees to exist.
    // For a length of 1 to 16 bytes, the other reads are inside `TABLES`. It changes only the
    // registers that are declared. The caller guarantees that the processor has the instructions
    // and that the registers may be changed.
    unsafe {
        asm!(
            ".arch_extension simd",
            // Load the bytes, and remove those that follow.
            "ldr q0, [{data}]",
            "ldr q1, [{mask}]",
            "ldr q2, [{weights}]",
            "and v0.16b, v0.16b, v1.16b",
            // Multiply by the weights len..1. The sum of two products in a lane is at most
            // 255 * (16 + 8).
            "umull v1.8h, v0.8b, v2.8b",
            "umlal2 v1.8h, v0.16b, v2.16b",
            // Add up the lanes of both sums.
            "uaddlv h0, v0.16b",
            "uaddlv s1, v1.8h",
            "fmov {plain:w}, s0",
            "fmov {weighted:w}, s1",
            data = in(reg) data.as_ptr(),
            mask = in(reg) TABLES.mask_of_first(len),
            weights = in(reg) TABLES.weights_from(len),
            plain = lateout(reg) plain,
            weighted = lateout(reg) weighted,
            out("v0") _,
            out("v1") _,
            out("v2") _,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    Sums { plain, weighted }
}

/// Sums 16 to 32 bytes as two vectors, the first 16 bytes and the last 16, which may overlap.
///
/// ```text
/// v0   the first 16 bytes
/// v1   the last 16 bytes without those that are in v0
/// v2   the mask of these, and then `plain`
/// v3   the weights of v0, and then `weighted`
/// v4   the weights of v1
/// v5   products
/// ```
///
/// # Safety
///
/// As for [`update`]. `data` must have 16 to 32 bytes.
#[inline(always)]
pub(super) unsafe fn up_to_32(data: &[u8]) -> Sums {
    let (plain, weighted): (u64, u64);
    // SAFETY: The code reads the first and the last 16 bytes of `data`, which the caller guarantees
    // to exist. For a length of 16 to 32 bytes, the other reads are inside `TABLES`. It changes
    // only the registers that are declared. The caller guarantees that the processor has the
    // instructions and that the registers may be changed.
    unsafe {
        asm!(
            ".arch_extension simd",
            // Load the bytes, and remove from the last 16 those that the first 16 contain.
            "ldr q0, [{data}]",
            "ldr q1, [{last}]",
            "ldr q2, [{mask}]",
            "ldr q3, [{first_weights}]",
            "ldr q4, [{last_weights}]",
            "and v1.16b, v1.16b, v2.16b",
            // Sum the bytes, in pairs.
            "uaddlp v2.8h, v0.16b",
            "uadalp v2.8h, v1.16b",
            // Multiply by the weights len..len - 15 and 16..1. The sum of four products in a lane
            // is at most 255 * (32 + 24 + 16 + 8).
            "umull v5.8h, v0.8b, v3.8b",
            "umlal2 v5.8h, v0.16b, v3.16b",
            "umlal v5.8h, v1.8b, v4.8b",
            "umlal2 v5.8h, v1.16b, v4.16b",
            // Add up the lanes of both sums.
            "uaddlv s2, v2.8h",
            "uaddlv s5, v5.8h",
            "fmov {plain:w}, s2",
            "fmov {weighted:w}, s5",
            data = in(reg) data.as_ptr(),
            last = in(reg) data.as_ptr().wrapping_add(data.len() - VECTOR),
            mask = in(reg) TABLES.mask_of_last(data.len() - VECTOR),
            first_weights = in(reg) TABLES.weights_from(data.len()),
            last_weights = in(reg) TABLES.weights_from(VECTOR),
            plain = lateout(reg) plain,
            weighted = lateout(reg) weighted,
            out("v0") _,
            out("v1") _,
            out("v2") _,
            out("v3") _,
            out("v4") _,
            out("v5") _,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    Sums { plain, weighted }
}

/// Adds the vector `$data` to `plain`, and its products with the vector `$weights` to `weighted`.
/// Changes `$data` and v19.
macro_rules! add_products {
    ($data:literal, $weights:literal) => {
        concat!(
            "uadalp v16.8h, v",
            $data,
            ".16b
            umull v19.8h, v",
            $data,
            ".8b, v",
            $weights,
            ".8b
            umull2 v",
            $data,
            ".8h, v",
            $data,
            ".16b, v",
            $weights,
            ".16b
            uadalp v17.4s, v19.8h
            uadalp v18.4s, v",
            $data,
            ".8h"
        )
    };
}

/// Sums the first `len` bytes of `data`.
///
/// A 16-bit lane of `plain` grows to at most 16 * 2 * 255.
///
/// ```text
/// v0-3     the data of up to four vectors
/// v4-7     their weights, lowered by 1
/// v16      `plain`
/// v17, 18  `weighted`: two accumulators, so that fewer additions wait for each other
/// v19      products
/// ```
///
/// The labels are 2 (the single vector is done), 3 (the pair is done), 4 (the loop) and 5 (the
/// end). (Assemblers take `0b` and `1b` for binary numbers.)
///
/// # Safety
///
/// As for [`update`]. `data` must have at least `len` and at least 16 bytes. `len` must be 1 to
/// `MOST_WEIGHTS`.
#[inline(always)]
unsafe fn head(data: &[u8], len: usize) -> Sums {
    let first = first_vector(len);
    let (plain, weighted): (u64, u64);
    // SAFETY: The code reads the first 16 bytes of `data`, which the caller guarantees to exist,
    // and then the vectors after the `first` bytes that end with byte `len`. There are as many
    // weights in `TABLES`, and 16 more bytes. It changes only the registers that are declared. The
    // caller guarantees that the processor has the instructions and that the registers may be
    // changed.
    unsafe {
        asm!(
            ".arch_extension simd",
            // The first vector may be short, so remove the bytes after it.
            "ldr q0, [{data}]",
            "ldr q1, [{mask}]",
            "ldr q4, [{weights}]",
            "movi v16.2d, #0",
            "movi v17.2d, #0",
            "movi v18.2d, #0",
            "and v0.16b, v0.16b, v1.16b",
            "add {data}, {data}, {first}",
            "add {weights}, {weights}, {first}",
            add_products!("0", "4"),
            // The other vectors are whole: a single one if their number is odd, then a pair if
            // there are two more than a multiple of four.
            "tbz {vectors:w}, #0, 2f",
            "ldr q0, [{data}], #16",
            "ldr q4, [{weights}], #16",
            add_products!("0", "4"),
            "2:",
            "tbz {vectors:w}, #1, 3f",
            "ldp q0, q1, [{data}], #32",
            "ldp q4, q5, [{weights}], #32",
            add_products!("0", "4"),
            add_products!("1", "5"),
            // The loop takes four vectors at a time.
            "3:",
            "lsr {vectors}, {vectors}, #2",
            "cbz {vectors}, 5f",
            "4:",
            "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{data}], #64",
            "ld1 {{v4.16b, v5.16b, v6.16b, v7.16b}}, [{weights}], #64",
            "sub {vectors}, {vectors}, #1",
            add_products!("0", "4"),
            add_products!("1", "5"),
            add_products!("2", "6"),
            add_products!("3", "7"),
            "cbnz {vectors}, 4b",
            // Add up the lanes of both sums.
            "5:",
            "add v17.4s, v17.4s, v18.4s",
            "uaddlv s16, v16.8h",
            "addv s17, v17.4s",
            "fmov {plain:w}, s16",
            "fmov {weighted:w}, s17",
            data = inout(reg) data.as_ptr() => _,
            weights = inout(reg) TABLES.weights_from(len - 1) => _,
            vectors = inout(reg) (len - first) / VECTOR => _,
            mask = in(reg) TABLES.mask_of_first(first),
            first = in(reg) first,
            plain = lateout(reg) plain,
            weighted = lateout(reg) weighted,
            out("v0") _,
            out("v1") _,
            out("v2") _,
            out("v3") _,
            out("v4") _,
            out("v5") _,
            out("v6") _,
            out("v7") _,
            out("v16") _,
            out("v17") _,
            out("v18") _,
            out("v19") _,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    Sums {
        plain,
        weighted: weighted + plain,
    }
}

/// Adds the row in the vectors `$a` to `$d` to the columns, see [`chunk`]: first `pairs` to
/// `before`, then the row to `pairs` and to `words`.
macro_rules! add_row {
    ($a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            "add v20.8h, v16.8h, v17.8h
            add v21.8h, v18.8h, v19.8h
            add v22.8h, v22.8h, v",
            $a,
            ".8h
            uadalp v16.8h, v",
            $a,
            ".16b
            add v23.8h, v23.8h, v",
            $b,
            ".8h
            uadalp v17.8h, v",
            $b,
            ".16b
            uadalp v25.4s, v20.8h
            add v22.8h, v22.8h, v",
            $c,
            ".8h
            uadalp v18.8h, v",
            $c,
            ".16b
            add v23.8h, v23.8h, v",
            $d,
            ".8h
            uadalp v19.8h, v",
            $d,
            ".16b
            uadalp v25.4s, v21.8h"
        )
    };
}

/// Sums whole rows, at most [`CHUNK`] bytes.
///
/// Each 16-bit lane of the four vectors of a row is a column of two bytes, an even and an odd one.
/// The columns of up to 64 rows, which are a group, have the sums
///
/// ```text
/// pairs    the sum of the two bytes, for each column
/// words    the sum of the lanes as they are, even + 256 * odd modulo 2^16, for all four vectors
/// ```
///
/// Modulo 2^16, `pairs - words` is -255 * odd, and 257 times that is odd. At the end of a group,
/// `pairs` is multiplied by the weights of the even bytes, 64 to 2. The weight of an odd byte is
/// one less than that of its pair, so the sum of the odd bytes is then subtracted. Per 64 bytes,
/// this takes six `uadalp`, which use one of the two vector pipes of older processors, and six
/// additions, which can use the other one.
///
/// ```text
/// v0-3, 4-7  the data of two rows
/// v16-19     `pairs` of the group
/// v20, 21    `pairs` of two vectors added up
/// v22, 23    `words` of the group: two accumulators, so that fewer additions wait for each other
/// v24        `plain` before the group
/// v25        `before`
/// v26        `weighted`
/// ```
///
/// The labels are 2 (a group begins), 3 (a pair of rows begins), 4 (its second row begins) and 5
/// (the end).
///
/// # Safety
///
/// As for [`update`]. The length of `data` must be a multiple of [`ROW`], at most [`CHUNK`], and
/// not 0.
#[inline(always)]
unsafe fn chunk(data: &[u8]) -> Sums {
    // The number of rows after the first.
    let more = data.len() / ROW - 1;
    let (halves, before): (u64, u64);
    // SAFETY: The code reads `more + 1` rows, which are all of `data`, and `TABLES`. It changes
    // only the registers that are declared. The caller guarantees that the processor has the
    // instructions and that the registers may be changed.
    unsafe {
        asm!(
            ".arch_extension simd",
            "movi v24.2d, #0",
            "movi v25.2d, #0",
            "movi v26.2d, #0",

            // A group begins: clear its sums. If the number of rows is odd, the first pair of the
            // first group lacks its first row.
            "2:",
            "movi v16.2d, #0",
            "movi v17.2d, #0",
            "movi v18.2d, #0",
            "movi v19.2d, #0",
            "movi v22.2d, #0",
            "movi v23.2d, #0",
            "tbz {more:w}, #0, 4f",

            // The loop over pairs of rows.
            "3:",
            "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{data}], #64",
            add_row!("0", "1", "2", "3"),
            "4:",
            "ld1 {{v4.16b, v5.16b, v6.16b, v7.16b}}, [{data}], #64",
            "sub {group}, {group}, #1",
            add_row!("4", "5", "6", "7"),
            "tbz {group}, #63, 3b",

            // A group ends: add `pairs` to `plain`. Two lanes fit in 16 bits together.
            "ld1 {{v0.8h, v1.8h, v2.8h, v3.8h}}, [{pair_weights}]",
            "add v20.8h, v16.8h, v17.8h",
            "add v21.8h, v18.8h, v19.8h",
            "uadalp v24.4s, v20.8h",
            "uadalp v24.4s, v21.8h",
            // Derive the odd bytes from `pairs` and `words`, and subtract them. A lane of
            // `weighted` can become negative, but not the sum of all lanes.
            "add v20.8h, v20.8h, v21.8h",
            "add v22.8h, v22.8h, v23.8h",
            "sub v20.8h, v20.8h, v22.8h",
            "shl v21.8h, v20.8h, #8",
            "add v20.8h, v20.8h, v21.8h",
            "uaddlp v20.4s, v20.8h",
            "sub v26.4s, v26.4s, v20.4s",
            // Multiply the pairs by their weights.
            "umlal v26.4s, v16.4h, v0.4h",
            "umlal2 v26.4s, v16.8h, v0.8h",
            "umlal v26.4s, v17.4h, v1.4h",
            "umlal2 v26.4s, v17.8h, v1.8h",
            "umlal v26.4s, v18.4h, v2.4h",
            "umlal2 v26.4s, v18.8h, v2.8h",
            "umlal v26.4s, v19.4h, v3.4h",
            "umlal2 v26.4s, v19.8h, v3.8h",
            // Only the first group can have fewer than 64 rows.
            "and {more}, {more}, #-64",
            "cbz {more}, 5f",
            // Another group follows: `plain` counts in `before` for each of its rows.
            "sub {more}, {more}, #1",
            "shl v20.4s, v24.4s, #6",
            "add v25.4s, v25.4s, v20.4s",
            "mov {group}, #{full_group}",
            "b 2b",

            // The end: add up the lanes of `before`, and those of `plain` and `weighted` together.
            "5:",
            "uaddlv d25, v25.4s",
            "fmov {before}, d25",
            "addp v24.4s, v24.4s, v26.4s",
            "addp v24.4s, v24.4s, v24.4s",
            "fmov {halves}, d24",
            data = inout(reg) data.as_ptr() => _,
            more = inout(reg) more => _,
            // The number of pairs after the first, which falls below 0. The first group may have
            // fewer pairs than the others.
            group = inout(reg) more / 2 % GROUP => _,
            pair_weights = in(reg) TABLES.pair_weights.as_ptr(),
            full_group = const GROUP - 1,
            halves = lateout(reg) halves,
            before = lateout(reg) before,
            out("v0") _,
            out("v1") _,
            out("v2") _,
            out("v3") _,
            out("v4") _,
            out("v5") _,
            out("v6") _,
            out("v7") _,
            out("v16") _,
            out("v17") _,
            out("v18") _,
            out("v19") _,
            out("v20") _,
            out("v21") _,
            out("v22") _,
            out("v23") _,
            out("v24") _,
            out("v25") _,
            out("v26") _,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    Sums {
        plain: halves & 0xffff_ffff,
        weighted: ROW as u64 * before + (halves >> 32),
    }
}
