// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The implementation for AVX-512 with VNNI. The instruction `vpdpbusd` multiplies 64 bytes of data
//! by 64 signed weights and adds each four products to a 32-bit lane. Weights of 1 result in plain
//! sums.
//!
//! A row has 256 bytes, which are four vectors. The weights of a row, 256 to 1, are lowered by 129
//! (see the parent module). 64 bytes take two `vpdpbusd` and half an addition.

use core::arch::asm;

use super::{
    avx2,
    Adler32,
    Sums,
    LONGEST_SHORT,
    TABLES,
    TOP_WEIGHT, //
};

/// The number of bytes in a row.
const ROW: usize = 256;

/// The weights of a row are lowered by this.
const LOWERED: u64 = 129;

/// The largest number of bytes that [`chunk`] sums.
///
/// The sums are largest if all `n` = 65,536 bytes are 255. They are then 256 rows with a plain sum
/// of 65,280 each. Added up over all lanes,
///
/// - `plain` is 255 * n, which is below 2^24;
/// - `before` is 65,280 * (256 * 255 / 2), which is below 2^31;
/// - `weighted`, which is signed, has an absolute value of at most 255 * 128 * n, which is below
///   2^31.
///
/// So neither a lane nor the sum of all lanes overflows.
const CHUNK: usize = 64 * 1024;

/// Continues a checksum over `data`.
///
/// # Safety
///
/// The processor must have the [`Features`](super::super::Features) `AVX512_VNNI` and `AVX2`, and
/// the caller must allow this function to change the vector registers.
pub(in super::super) unsafe fn update(start: Adler32, data: &[u8]) -> Adler32 {
    let len = data.len();
    // SAFETY: The caller guarantees the same requirements. The patterns check the lengths.
    unsafe {
        match len {
            0 => start,
            1..=15 => start.append_tiny(len, up_to_15(data)),
            16..=32 => start.append_tiny(len, avx2::up_to_32(data)),
            33..=64 => start.append_tiny(len, up_to_64(data)),
            65..=ROW => start.append_tiny(len, up_to_row(data)),
            _ => rows(start, data),
        }
    }
}

/// Continues a checksum over `data`, which is longer than a row. This is not inlined, so that
/// [`update`] need not save registers for short data.
///
/// # Safety
///
/// As for [`update`].
#[inline(never)]
unsafe fn rows(start: Adler32, data: &[u8]) -> Adler32 {
    if data.len() <= LONGEST_SHORT {
        // SAFETY: The caller guarantees the same requirements. The length was checked just now.
        return start.append_short(data.len(), unsafe { short_rows(data) });
    }
    let (mut sum, mut rest) = (start, data);
    while rest.len() > CHUNK {
        // All chunks except the first begin at the start of a cache line.
        let (first, others) = rest.split_at(CHUNK - rest.as_ptr().addr() % 64);
        // SAFETY: The caller guarantees the same requirements. The length is at most `CHUNK`, and
        // at least `CHUNK - 63`, which is more than a row.
        sum = sum.append(first.len(), unsafe { chunk(first) });
        rest = others;
    }
    if rest.len() > ROW {
        // SAFETY: The caller guarantees the same requirements. The loop ends with at most `CHUNK`
        // bytes left, and there are more than a row.
        sum.append(rest.len(), unsafe { chunk(rest) })
    } else {
        // SAFETY: The caller guarantees the same requirements.
        unsafe { update(sum, rest) }
    }
}

/// Returns a mask of the bytes in the first vector of data with this length. Only the first vector
/// may be short.
#[inline(always)]
fn first_vector(len: usize) -> u64 {
    u64::MAX >> (len.wrapping_neg() % 64)
}

/// Sums 1 to 15 bytes.
///
/// ```text
/// xmm16   `weighted`
/// xmm17   `plain`
/// xmm18   the data, and then scratch
/// k1      the mask of the bytes that exist
/// ```
///
/// # Safety
///
/// As for [`update`]. `data` must have 1 to 15 bytes.
#[inline(always)]
unsafe fn up_to_15(data: &[u8]) -> Sums {
    let halves;
    // SAFETY: The mask limits the read of `data` to its bytes. For up to 64 bytes, the weights that
    // are read are inside `TABLES`. The code changes only the registers that are declared. The
    // caller guarantees that the processor has the instructions and that the registers may be
    // changed.
    unsafe {
        asm!(
            // Load the bytes that exist, and zeros after them.
            "kmovq k1, {mask}",
            "vmovdqu8 xmm18{{k1}}{{z}}, [{data}]",
            // Sum them, and sum their products with the weights from `len` down, which need not be
            // lowered.
            "vpxord xmm16, xmm16, xmm16",
            "vpsadbw xmm17, xmm18, xmm16",
            "vpdpbusd xmm16, xmm18, [{tables_less_len} + {top_weight}]",
            // Add up the lanes of both sums together, side by side: four lanes to two, then one.
            "vpunpckhdq xmm18, xmm16, xmm17",
            "vpunpckldq xmm16, xmm16, xmm17",
            "vpaddd xmm16, xmm16, xmm18",
            "vpshufd xmm17, xmm16, 0x4e",
            "vpaddd xmm16, xmm16, xmm17",
            "vmovq {halves}, xmm16",
            data = in(reg) data.as_ptr(),
            mask = in(reg) first_vector(data.len()),
            tables_less_len = in(reg) (&raw const TABLES).wrapping_byte_sub(data.len()),
            top_weight = const TOP_WEIGHT,
            halves = lateout(reg) halves,
            out("xmm16") _,
            out("xmm17") _,
            out("xmm18") _,
            out("k1") _,
            options(pure, readonly, nostack),
        );
    }
    Sums::from_halves(halves)
}

/// Adds up the lanes of zmm16 (`weighted`) and zmm17 (`plain`), and stores the sums in the lower
/// and the upper half of `{halves}`. Changes zmm18.
///
/// Interleaving adds up both sums together: 16 lanes of each to eight, four, two and one.
macro_rules! reduce {
    () => {
        "vpunpckhdq zmm18, zmm16, zmm17
        vpunpckldq zmm16, zmm16, zmm17
        vpaddd zmm16, zmm16, zmm18
        vextracti64x4 ymm17, zmm16, 1
        vpaddd ymm16, ymm16, ymm17
        vextracti32x4 xmm17, ymm16, 1
        vpaddd xmm16, xmm16, xmm17
        vpshufd xmm17, xmm16, 0x4e
        vpaddd xmm16, xmm16, xmm17
        vmovq {halves}, xmm16"
    };
}

/// Sums 33 to 64 bytes, in the same way and in the same registers as [`up_to_15`].
///
/// # Safety
///
/// As for [`update`]. `data` must have 33 to 64 bytes.
#[inline(always)]
unsafe fn up_to_64(data: &[u8]) -> Sums {
    let halves;
    // SAFETY: As in `up_to_15`.
    unsafe {
        asm!(
            // Load the bytes that exist, and zeros after them. Then sum them, with and without
            // weights.
            "kmovq k1, {mask}",
            "vmovdqu8 zmm18{{k1}}{{z}}, [{data}]",
            "vpxord xmm16, xmm16, xmm16",
            "vpsadbw zmm17, zmm18, zmm16",
            "vpdpbusd zmm16, zmm18, [{tables_less_len} + {top_weight}]",
            reduce!(),
            data = in(reg) data.as_ptr(),
            mask = in(reg) first_vector(data.len()),
            tables_less_len = in(reg) (&raw const TABLES).wrapping_byte_sub(data.len()),
            top_weight = const TOP_WEIGHT,
            halves = lateout(reg) halves,
            out("xmm16") _,
            out("xmm17") _,
            out("xmm18") _,
            out("k1") _,
            options(pure, readonly, nostack),
        );
    }
    Sums::from_halves(halves)
}

/// Sums 65 to 256 bytes as one row.
///
/// ```text
/// zmm16, 18   `weighted`: two accumulators, so that fewer additions wait for each other
/// zmm17       `plain`
/// zmm19       the first vector, which may be short
/// zmm20       ones
/// zmm21-23    the vectors before the last 128, 64 and 0 bytes
/// k1          the mask of the bytes in the first vector
/// ```
///
/// The labels are 2 (the last vector) and 3 (the last two vectors).
///
/// # Safety
///
/// As for [`update`]. `data` must have 65 to 256 bytes.
#[inline(always)]
unsafe fn up_to_row(data: &[u8]) -> Sums {
    let halves;
    // SAFETY: The mask limits the read of the first vector to its bytes. The code reads one to
    // three whole vectors before the end of `data`, which the comparisons limit to those that
    // exist, and the weights in `TABLES` for them. It changes only the registers that are declared.
    // The caller guarantees that the processor has the instructions and that the registers may be
    // changed.
    unsafe {
        asm!(
            // Load the first vector, and make ones as the absolute values of bytes of -1.
            "kmovq k1, {mask}",
            "vmovdqu8 zmm19{{k1}}{{z}}, [{data}]",
            "vpternlogd zmm20, zmm20, zmm20, 0xff",
            "vpabsb zmm20, zmm20",
            // Sum the first vector, with and without weights.
            "vpxord xmm16, xmm16, xmm16",
            "vpxord xmm18, xmm18, xmm18",
            "vpsadbw zmm17, zmm19, zmm16",
            "vpdpbusd zmm16, zmm19, [{first_weights}]",
            // Sum the other vectors, which are whole, as many as there are. They end where `data`
            // ends.
            "cmp {len}, 128",
            "jbe 2f",
            "cmp {len}, 192",
            "jbe 3f",
            "vmovdqu64 zmm21, [{data} + {len} - 192]",
            "vpdpbusd zmm17, zmm21, zmm20",
            "vpdpbusd zmm16, zmm21, [{weights} + 64]",
            "3:",
            "vmovdqu64 zmm22, [{data} + {len} - 128]",
            "vpdpbusd zmm17, zmm22, zmm20",
            "vpdpbusd zmm18, zmm22, [{weights} + 128]",
            "2:",
            "vmovdqu64 zmm23, [{data} + {len} - 64]",
            "vpdpbusd zmm17, zmm23, zmm20",
            "vpdpbusd zmm16, zmm23, [{weights} + 192]",
            // Add up the two accumulators and then the lanes.
            "vpaddd zmm16, zmm16, zmm18",
            reduce!(),
            data = in(reg) data.as_ptr(),
            len = in(reg) data.len(),
            weights = in(reg) TABLES.weights.as_ptr(),
            first_weights = in(reg) TABLES.last_weights(ROW, data.len()),
            mask = in(reg) first_vector(data.len()),
            halves = lateout(reg) halves,
            out("xmm16") _,
            out("xmm17") _,
            out("xmm18") _,
            out("xmm19") _,
            out("xmm20") _,
            out("xmm21") _,
            out("xmm22") _,
            out("xmm23") _,
            out("k1") _,
            options(pure, readonly, nostack),
        );
    }
    // The sum of the lanes of `weighted` is signed. The weighted sum with the full weights is not.
    let Sums { plain, weighted } = Sums::from_halves(halves);
    Sums {
        plain,
        weighted: (weighted + LOWERED * plain) & 0xffff_ffff,
    }
}

/// Expands to an `asm!` that sums the rows of `$data` and then executes the instructions `$reduce`.
///
/// The outputs follow the instructions after `=>`.
///
/// The code uses only the upper 16 registers, after which no `vzeroupper` is needed.
///
/// ```text
/// zmm16, 26-28   `weighted`: an accumulator for each of the four vectors of a row, so that no
///                addition waits for the one before
/// zmm17          `plain`
/// zmm18          the plain sum of one row
/// zmm19          `before`
/// zmm20          ones
/// zmm21-24       the weights of the four vectors of a row
/// zmm25, 29-31   the data of one row
/// k1             the mask of the bytes in the first vector
/// ```
///
/// The labels 2 (the first row is done) and 3 (the loop) belong to this macro. `$reduce` may define
/// labels from 4 on. (Assemblers take `0b` and `1b` for binary numbers.)
///
/// # Safety
///
/// As for [`update`]. `$data` must be longer than a row.
macro_rules! sum_rows {
    ($data:ident, $($reduce:expr,)+ => $($output:ident = $value:expr,)+) => {{
        // The first row has 1 to 256 bytes.
        let first_row = ($data.len() - 1) % ROW + 1;
        asm!(
            // Part 1, setup: load the weights, make ones as the absolute values of bytes of -1, and
            // clear the accumulators.
            "kmovq k1, {mask}",
            "vmovdqu64 zmm21, [{weights}]",
            "vmovdqu64 zmm22, [{weights} + 64]",
            "vmovdqu64 zmm23, [{weights} + 128]",
            "vmovdqu64 zmm24, [{weights} + 192]",
            "vpternlogd zmm20, zmm20, zmm20, 0xff",
            "vpabsb zmm20, zmm20",
            "vpxord xmm16, xmm16, xmm16",
            "vpxord xmm17, xmm17, xmm17",
            "vpxord xmm19, xmm19, xmm19",
            "vpxord xmm26, xmm26, xmm26",
            "vpxord xmm27, xmm27, xmm27",
            "vpxord xmm28, xmm28, xmm28",

            // Part 2, the first row. Its first vector may be short. It has the last weights of a
            // row, as many as this row has bytes.
            "vmovdqu8 zmm25{{k1}}{{z}}, [{data}]",
            "vpdpbusd zmm17, zmm25, zmm20",
            "vpdpbusd zmm16, zmm25, [{first_weights}]",
            // The other vectors of the first row are whole. They end where the next row begins, so
            // the last one comes first.
            "add {data}, {first_row}",
            "cmp {first_row:e}, 64",
            "jbe 2f",
            "vmovdqu64 zmm25, [{data} - 64]",
            "vpdpbusd zmm17, zmm25, zmm20",
            "vpdpbusd zmm28, zmm25, zmm24",
            "cmp {first_row:e}, 128",
            "jbe 2f",
            "vmovdqu64 zmm25, [{data} - 128]",
            "vpdpbusd zmm17, zmm25, zmm20",
            "vpdpbusd zmm27, zmm25, zmm23",
            "cmp {first_row:e}, 192",
            "jbe 2f",
            "vmovdqu64 zmm25, [{data} - 192]",
            "vpdpbusd zmm17, zmm25, zmm20",
            "vpdpbusd zmm26, zmm25, zmm22",
            "2:",

            // Part 3, the loop over whole rows: load the four vectors of a row.
            ".p2align 4",
            "3:",
            "vpxord xmm18, xmm18, xmm18",
            "vmovdqu64 zmm25, [{data}]",
            "vmovdqu64 zmm29, [{data} + 64]",
            "vmovdqu64 zmm30, [{data} + 128]",
            "vmovdqu64 zmm31, [{data} + 192]",
            // Sum them with and without weights. `before` grows by the value of `plain` before this
            // row, which is why the plain sum of the row has a register of its own.
            "vpdpbusd zmm18, zmm25, zmm20",
            "vpdpbusd zmm16, zmm25, zmm21",
            "vpaddd zmm19, zmm19, zmm17",
            "vpdpbusd zmm18, zmm29, zmm20",
            "vpdpbusd zmm26, zmm29, zmm22",
            "vpdpbusd zmm18, zmm30, zmm20",
            "vpdpbusd zmm27, zmm30, zmm23",
            "vpdpbusd zmm18, zmm31, zmm20",
            "vpdpbusd zmm28, zmm31, zmm24",
            "vpaddd zmm17, zmm17, zmm18",
            "add {data}, 256",
            "dec {rows:e}",
            "jnz 3b",

            // Part 4, the end: add up the four accumulators of `weighted`.
            "vpaddd zmm16, zmm16, zmm26",
            "vpaddd zmm27, zmm27, zmm28",
            "vpaddd zmm16, zmm16, zmm27",
            $($reduce,)+
            data = inout(reg) $data.as_ptr() => _,
            rows = inout(reg) ($data.len() - first_row) / ROW => _,
            first_row = in(reg) first_row,
            weights = in(reg) TABLES.weights.as_ptr(),
            first_weights = in(reg) TABLES.last_weights(ROW, first_row),
            mask = in(reg) first_vector(first_row),
            $($output = lateout(reg) $value,)+
            out("xmm16") _,
            out("xmm17") _,
            out("xmm18") _,
            out("xmm19") _,
            out("xmm20") _,
            out("xmm21") _,
            out("xmm22") _,
            out("xmm23") _,
            out("xmm24") _,
            out("xmm25") _,
            out("xmm26") _,
            out("xmm27") _,
            out("xmm28") _,
            out("xmm29") _,
            out("xmm30") _,
            out("xmm31") _,
            out("k1") _,
            options(pure, readonly, nostack),
        )
    }};
}

/// Sums 257 to [`LONGEST_SHORT`] bytes. For these, the complete weighted sum fits in 32 bits.
///
/// # Safety
///
/// As for [`update`]. `data` must be longer than a row.
#[inline(always)]
unsafe fn short_rows(data: &[u8]) -> Sums {
    let halves;
    // SAFETY: The mask limits the read of the first vector to its bytes. The code reads the whole
    // vectors of the first row, which the comparisons limit to those that exist, the other rows,
    // and the weights in `TABLES`. It changes only the registers that are declared. The caller
    // guarantees that the processor has the instructions and that the registers may be changed.
    unsafe {
        sum_rows!(
            data,
            // In each lane, compute weighted + 256 * before + 129 * plain.
            "vpslld zmm19, zmm19, 8",
            "vpslld zmm18, zmm17, 7",
            "vpaddd zmm16, zmm16, zmm19",
            "vpaddd zmm18, zmm18, zmm17",
            "vpaddd zmm16, zmm16, zmm18",
            reduce!(),
            => halves = halves,
        );
    }
    Sums::from_halves(halves)
}

/// Sums 257 to [`CHUNK`] bytes.
///
/// # Safety
///
/// As for [`update`]. `data` must be longer than a row.
#[inline(always)]
unsafe fn chunk(data: &[u8]) -> Sums {
    let (halves, before): (u64, u64);
    // SAFETY: As in `short_rows`.
    unsafe {
        sum_rows!(
            data,
            // Add up the lanes of `before`: 16 lanes to eight, four, two and one.
            "vextracti64x4 ymm20, zmm19, 1",
            "vpaddd ymm19, ymm19, ymm20",
            "vextracti32x4 xmm20, ymm19, 1",
            "vpaddd xmm19, xmm19, xmm20",
            "vpshufd xmm20, xmm19, 0x4e",
            "vpaddd xmm19, xmm19, xmm20",
            "vpshufd xmm20, xmm19, 0xb1",
            "vpaddd xmm19, xmm19, xmm20",
            "vmovd {before:e}, xmm19",
            reduce!(),
            => halves = halves, before = before,
        );
    }
    let Sums { plain, weighted } = Sums::from_halves(halves);
    let weighted = i64::from(weighted as i32);
    Sums {
        plain,
        weighted: (ROW as u64 * before + LOWERED * plain).wrapping_add_signed(weighted),
    }
}
