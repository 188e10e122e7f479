// SPDX-License-Identifier: GPL-2.0 OR MIT

//! AVX-512 with VNNI, whose `vpdpbusd` multiplies 64 bytes of data by 64 signed weights and adds
//! each four products to a 32-bit lane. Weights of one make plain sums.
//!
//! Rows are of 256 bytes, that is four vectors. Their weights, 256 to 1, are lowered by 129 (see
//! the parent module). Per 64 bytes these are two `vpdpbusd` and half an addition.

use super::avx2;
use super::Adler32;
use super::Sums;
use super::LONGEST_SHORT;
use super::TABLES;
use super::TOP_WEIGHT;
use core::arch::asm;

/// The bytes of a row.
const ROW: usize = 256;

/// By how much the weights of a row are lowered.
const LOWERED: u64 = 129;

/// The most bytes that [`chunk`] sums up.
///
/// With all of the `n` = 65,536 bytes 255, that is 256 rows of 65,280 each, and all lanes together:
///
/// - `plain` is 255 * n, below 2^24;
/// - `before` is 65,280 * (256 * 255 / 2), below 2^31;
/// - `weighted`, which is signed, is at most 255 * 128 * n either way, below 2^31.
///
/// So neither a lane overflows nor the sum of all lanes.
const CHUNK: usize = 64 * 1024;

/// Continues a checksum over the bytes given.
///
/// # Safety
///
/// The processor has [`Features`](super::super::Features) `AVX512_VNNI` and `AVX2`, and the vector
/// registers are the caller's to change.
pub(in super::super) unsafe fn update(start: Adler32, data: &[u8]) -> Adler32 {
    let len = data.len();
    // SAFETY: The caller promises the same. The lengths are as required.
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

/// Continues a checksum over the bytes given, more than a row. Apart from [`update`], so that short
/// data need not save the registers for which this has use.
///
/// # Safety
///
/// As for [`update`].
#[inline(never)]
unsafe fn rows(start: Adler32, data: &[u8]) -> Adler32 {
    if data.len() <= LONGEST_SHORT {
        // SAFETY: The caller promises the same. The length is as required.
        return start.append_short(data.len(), unsafe { short_rows(data) });
    }
    let (mut sum, mut rest) = (start, data);
    while rest.len() > CHUNK {
        // All chunks but the first begin at the start of a cache line.
        let (first, others) = rest.split_at(CHUNK - rest.as_ptr().addr() % 64);
        // SAFETY: The caller promises the same. The length is as required.
        sum = sum.append(first.len(), unsafe { chunk(first) });
        rest = others;
    }
    if rest.len() > ROW {
        // SAFETY: As above.
        sum.append(rest.len(), unsafe { chunk(rest) })
    } else {
        // SAFETY: As above.
        unsafe { update(sum, rest) }
    }
}

/// Returns a mask of the bytes in the first vector, which may be short, if all others are full.
#[inline(always)]
fn first_vector(len: usize) -> u64 {
    u64::MAX >> (len.wrapping_neg() % 64)
}

/// Sums up to 15 bytes.
///
/// # Safety
///
/// As for [`update`].
#[inline(always)]
unsafe fn up_to_15(data: &[u8]) -> Sums {
    let halves;
    // SAFETY: Reads the `len` bytes of `data`, as the mask says, and 16 weights from one on that is
    // not among the last 64 of the table. Changes what is declared, and the caller promises that
    // the processor can do it.
    unsafe {
        asm!(
            "kmovq k1, {mask}",
            "vmovdqu8 xmm18{{k1}}{{z}}, [{data}]",
            "vpxord xmm16, xmm16, xmm16",
            "vpsadbw xmm17, xmm18, xmm16",
            "vpdpbusd xmm16, xmm18, [{tables_less_len} + {top_weight}]",
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

/// Adds up the lanes of zmm16 (`weighted`) and zmm17 (`plain`) and puts them into the lower and the
/// upper half of `{halves}`.
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

/// Sums up 33 to 64 bytes.
///
/// # Safety
///
/// As for [`update`].
#[inline(always)]
unsafe fn up_to_64(data: &[u8]) -> Sums {
    let halves;
    // SAFETY: As in `up_to_15`, with 64 weights.
    unsafe {
        asm!(
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

/// Sums up 65 to 256 bytes, all in one row.
///
/// # Safety
///
/// As for [`update`].
#[inline(always)]
unsafe fn up_to_row(data: &[u8]) -> Sums {
    let halves;
    // SAFETY: Reads the first vector of `data` as the mask says and one to three full ones before
    // its end, as many as there are, and the weights for them. Changes what is declared, and the
    // caller promises that the processor can do it.
    unsafe {
        asm!(
            "kmovq k1, {mask}",
            "vmovdqu8 zmm19{{k1}}{{z}}, [{data}]",
            "vpternlogd zmm20, zmm20, zmm20, 0xff",
            "vpabsb zmm20, zmm20",
            "vpxord xmm16, xmm16, xmm16",
            "vpxord xmm18, xmm18, xmm18",
            "vpsadbw zmm17, zmm19, zmm16",
            "vpdpbusd zmm16, zmm19, [{first_weights}]",
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
    // What the lanes of `weighted` add up to is signed, but not so what is lowered no more.
    let Sums { plain, weighted } = Sums::from_halves(halves);
    Sums {
        plain,
        weighted: (weighted + LOWERED * plain) & 0xffff_ffff,
    }
}

/// Sums up the rows of `$data`, more than one, and goes on with `$reduce`.
///
/// Only the upper 16 registers are used, so that no `vzeroupper` is due:
///
/// ```text
/// zmm16      `weighted`, together with zmm26-28: one for each vector of a row, so that no
///            addition waits for the one before
/// zmm17      `plain`
/// zmm19      `before`
/// zmm18      the plain sum of one row
/// zmm20      ones
/// zmm21-24   weights of the four vectors of a row
/// zmm25, 29-31  data
/// k1         the bytes of the first vector
/// ```
///
/// # Safety
///
/// As for [`update`]; `$data` is longer than a row.
macro_rules! sum_rows {
    ($data:ident, $($reduce:expr,)+ => $($output:ident = $value:expr,)+) => {{
        // The first row has one to 256 bytes.
        let first_row = ($data.len() - 1) % ROW + 1;
        asm!(
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
            "vmovdqu8 zmm25{{k1}}{{z}}, [{data}]",
            "vpdpbusd zmm17, zmm25, zmm20",
            "vpdpbusd zmm16, zmm25, [{first_weights}]",
            // The full vectors of the first row, the last one first.
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
            ".p2align 4",
            "3:",
            "vpxord xmm18, xmm18, xmm18",
            "vmovdqu64 zmm25, [{data}]",
            "vmovdqu64 zmm29, [{data} + 64]",
            "vmovdqu64 zmm30, [{data} + 128]",
            "vmovdqu64 zmm31, [{data} + 192]",
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

/// Sums up 257 to [`LONGEST_SHORT`] bytes, for which `weighted` as a whole fits in 32 bits.
///
/// # Safety
///
/// As for [`update`].
#[inline(always)]
unsafe fn short_rows(data: &[u8]) -> Sums {
    let halves;
    // SAFETY: Reads the first vector of `data` as the mask says, the full ones of the first row, as
    // many as there are, the rows, and the weights. Changes what is declared, and the caller
    // promises that the processor can do it.
    unsafe {
        sum_rows!(
            data,
            // weighted + 256 * before + 129 * plain
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

/// Sums up 257 to [`CHUNK`] bytes.
///
/// # Safety
///
/// As for [`update`].
#[inline(always)]
unsafe fn chunk(data: &[u8]) -> Sums {
    let (halves, before): (u64, u64);
    // SAFETY: As in `short_rows`.
    unsafe {
        sum_rows!(
            data,
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
