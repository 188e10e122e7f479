// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The implementation for NEON with the dot product. The instruction `udot` multiplies 16 bytes of
//! data by 16 unsigned weights and adds each four products to a 32-bit lane. Weights of 1 result in
//! plain sums.
//!
//! A row has 256 bytes, which are 16 vectors. The weights of a row, 256 to 1, are lowered by 1 to
//! fit in bytes. 64 bytes take eight `udot`, a load and a quarter of an addition.

use core::arch::asm;

use super::{
    first_vector,
    Adler32,
    Sums,
    MOST_WEIGHTS,
    TABLES,
    VECTOR, //
};

/// The number of bytes in a row.
const ROW: usize = MOST_WEIGHTS;

/// The largest number of bytes that [`chunk`] sums.
///
/// The sums are largest if all `n` = 65,536 bytes are 255. They are then 256 rows with a plain sum
/// of 65,280 each. Added up over all lanes,
///
/// - `plain` is 255 * n, which is below 2^24;
/// - `before` is 65,280 * (256 * 255 / 2), which is below 2^31;
/// - `weighted` is at most 255 * 128 * n, which is below 2^31.
///
/// So neither a lane nor the sum of all lanes overflows.
const CHUNK: usize = 64 * 1024;

/// Continues a checksum over `data`.
///
/// # Safety
///
/// The processor must have the [`Features`](super::super::Features) `NEON` and `DOTPROD`, and the
/// caller must allow this function to change the vector registers.
pub(in super::super) unsafe fn update(start: Adler32, data: &[u8]) -> Adler32 {
    // SAFETY: The caller guarantees the same requirements.
    unsafe { super::update(start, data, head, rows) }
}

/// Continues a checksum over `data`, which is longer than [`MOST_WEIGHTS`]. This is not inlined, so
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

/// Adds the vector `$data` to the accumulator `$plain`, and its products with the vector `$weights`
/// to the accumulator `$weighted`. v28 contains ones.
macro_rules! add_products {
    ($data:literal, $weights:literal, $plain:literal, $weighted:literal) => {
        concat!(
            "udot v",
            $plain,
            ".4s, v",
            $data,
            ".16b, v28.16b
            udot v",
            $weighted,
            ".4s, v",
            $data,
            ".16b, v",
            $weights,
            ".16b"
        )
    };
}

/// Adds up the lanes of v24 (`plain`) and v26 (`weighted`) together, and stores the sums in the
/// lower and the upper half of `{halves}`.
macro_rules! reduce {
    () => {
        "addp v24.4s, v24.4s, v26.4s
        addp v24.4s, v24.4s, v24.4s
        fmov {halves}, d24"
    };
}

/// Sums the first `len` bytes of `data`.
///
/// ```text
/// v0-3     the data of up to four vectors
/// v4-7     their weights, lowered by 1
/// v24, 25  `plain`: two accumulators, so that fewer additions wait for each other
/// v26, 27  `weighted`: the same
/// v28      ones
/// ```
///
/// The labels are 2 (the single vector is done), 3 (the pair is done), 4 (the loop) and 5 (the
/// end). (Assemblers take `0b` and `1b` for binary numbers.)
///
/// # Safety
///
/// As for [`update`]. `data` must have at least `len` and at least 16 bytes. `len` must be 1 to
/// [`MOST_WEIGHTS`].
#[inline(always)]
unsafe fn head(data: &[u8], len: usize) -> Sums {
    let first = first_vector(len);
    let halves: u64;
    // SAFETY: The code reads the first 16 bytes of `data`, which the caller guarantees to exist,
    // and then the vectors after the `first` bytes that end with byte `len`. There are as many
    // weights in `TABLES`, and 16 more bytes. It changes only the registers that are declared. The
    // caller guarantees that the processor has the instructions and that the registers may be
    // changed.
    unsafe {
        asm!(
            ".arch_extension simd",
            ".arch_extension dotprod",
            // The first vector may be short, so remove the bytes after it.
            "ldr q0, [{data}]",
            "ldr q1, [{mask}]",
            "ldr q4, [{weights}]",
            "movi v28.16b, #1",
            "movi v24.2d, #0",
            "movi v25.2d, #0",
            "movi v26.2d, #0",
            "movi v27.2d, #0",
            "and v0.16b, v0.16b, v1.16b",
            "add {data}, {data}, {first}",
            "add {weights}, {weights}, {first}",
            add_products!("0", "4", "24", "26"),
            // The other vectors are whole: a single one if their number is odd, then a pair if
            // there are two more than a multiple of four.
            "tbz {vectors:w}, #0, 2f",
            "ldr q0, [{data}], #16",
            "ldr q4, [{weights}], #16",
            add_products!("0", "4", "25", "27"),
            "2:",
            "tbz {vectors:w}, #1, 3f",
            "ldp q0, q1, [{data}], #32",
            "ldp q4, q5, [{weights}], #32",
            add_products!("0", "4", "24", "26"),
            add_products!("1", "5", "25", "27"),
            // The loop takes four vectors at a time.
            "3:",
            "lsr {vectors}, {vectors}, #2",
            "cbz {vectors}, 5f",
            "4:",
            "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{data}], #64",
            "ld1 {{v4.16b, v5.16b, v6.16b, v7.16b}}, [{weights}], #64",
            "sub {vectors}, {vectors}, #1",
            add_products!("0", "4", "24", "26"),
            add_products!("1", "5", "25", "27"),
            add_products!("2", "6", "24", "26"),
            add_products!("3", "7", "25", "27"),
            "cbnz {vectors}, 4b",
            // Add up the two accumulators and then the lanes.
            "5:",
            "add v24.4s, v24.4s, v25.4s",
            "add v26.4s, v26.4s, v27.4s",
            reduce!(),
            data = inout(reg) data.as_ptr() => _,
            weights = inout(reg) TABLES.weights_from(len - 1) => _,
            vectors = inout(reg) (len - first) / VECTOR => _,
            mask = in(reg) TABLES.mask_of_first(first),
            first = in(reg) first,
            halves = lateout(reg) halves,
            out("v0") _,
            out("v1") _,
            out("v2") _,
            out("v3") _,
            out("v4") _,
            out("v5") _,
            out("v6") _,
            out("v7") _,
            out("v24") _,
            out("v25") _,
            out("v26") _,
            out("v27") _,
            out("v28") _,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    Sums {
        plain: halves & 0xffff_ffff,
        weighted: (halves >> 32) + (halves & 0xffff_ffff),
    }
}

/// Loads the next four vectors into the registers `$a` to `$d`, and adds them to the accumulators,
/// with the weights in the vectors `$wa` to `$wd`.
macro_rules! quarter {
    (
        $a:literal, $b:literal, $c:literal, $d:literal,
        $wa:literal, $wb:literal, $wc:literal, $wd:literal
    ) => {
        concat!(
            "ld1 {{v",
            $a,
            ".16b, v",
            $b,
            ".16b, v",
            $c,
            ".16b, v",
            $d,
            ".16b}}, [{data}], #64\n",
            add_products!($a, $wa, "24", "26"),
            "\n",
            add_products!($b, $wb, "25", "27"),
            "\n",
            add_products!($c, $wc, "24", "30"),
            "\n",
            add_products!($d, $wd, "25", "31"),
        )
    };
}

/// Sums whole rows, at most [`CHUNK`] bytes.
///
/// ```text
/// v0-3, 20-23     the data of two quarters of a row
/// v4-19           the weights of the 16 vectors of a row, lowered by 1
/// v24, 25         `plain`: two accumulators, so that fewer additions wait for each other
/// v26, 27, 30, 31 `weighted`: four accumulators
/// v28             ones
/// v29             `before`
/// ```
///
/// The label is 2 (a row begins).
///
/// # Safety
///
/// As for [`update`]. The length of `data` must be a multiple of [`ROW`], at most [`CHUNK`], and
/// not 0.
#[inline(always)]
unsafe fn chunk(data: &[u8]) -> Sums {
    let (halves, before): (u64, u64);
    // SAFETY: The code reads the rows of `data`, and the weights in `TABLES`. It changes only the
    // registers that are declared. The caller guarantees that the processor has the instructions
    // and that the registers may be changed.
    unsafe {
        asm!(
            ".arch_extension simd",
            ".arch_extension dotprod",
            "ld1 {{v4.16b, v5.16b, v6.16b, v7.16b}}, [{weights}], #64",
            "ld1 {{v8.16b, v9.16b, v10.16b, v11.16b}}, [{weights}], #64",
            "ld1 {{v12.16b, v13.16b, v14.16b, v15.16b}}, [{weights}], #64",
            "ld1 {{v16.16b, v17.16b, v18.16b, v19.16b}}, [{weights}]",
            "movi v28.16b, #1",
            "movi v24.2d, #0",
            "movi v25.2d, #0",
            "movi v26.2d, #0",
            "movi v27.2d, #0",
            "movi v29.2d, #0",
            "movi v30.2d, #0",
            "movi v31.2d, #0",

            // The loop over rows: `before` grows by the value of `plain` before this row.
            "2:",
            "add v29.4s, v29.4s, v24.4s",
            "add v29.4s, v29.4s, v25.4s",
            "sub {rows}, {rows}, #1",
            quarter!("0", "1", "2", "3", "4", "5", "6", "7"),
            quarter!("20", "21", "22", "23", "8", "9", "10", "11"),
            quarter!("0", "1", "2", "3", "12", "13", "14", "15"),
            quarter!("20", "21", "22", "23", "16", "17", "18", "19"),
            "cbnz {rows}, 2b",

            // Add up the accumulators and then the lanes.
            "add v26.4s, v26.4s, v27.4s",
            "add v30.4s, v30.4s, v31.4s",
            "add v24.4s, v24.4s, v25.4s",
            "add v26.4s, v26.4s, v30.4s",
            "addv s29, v29.4s",
            "fmov {before:w}, s29",
            reduce!(),
            data = inout(reg) data.as_ptr() => _,
            rows = inout(reg) data.len() / ROW => _,
            weights = inout(reg) TABLES.weights.as_ptr() => _,
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
            out("v8") _,
            out("v9") _,
            out("v10") _,
            out("v11") _,
            out("v12") _,
            out("v13") _,
            out("v14") _,
            out("v15") _,
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
            out("v27") _,
            out("v28") _,
            out("v29") _,
            out("v30") _,
            out("v31") _,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    let plain = halves & 0xffff_ffff;
    Sums {
        plain,
        weighted: ROW as u64 * before + (halves >> 32) + plain,
    }
}
