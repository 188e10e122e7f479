// SPDX-License-Identifier: GPL-2.0 OR MIT

//! AVX2, whose `vpmaddubsw` multiplies 32 bytes of data by 32 signed weights and adds each two
//! products to a 16-bit lane.
//!
//! Rows are of 64 bytes, that is two vectors. Their weights, 64 to 1, are lowered by 33 (see the
//! parent module) to 31..=-32. A lane of both vectors together is then at most 255 * (31 + 30) and
//! at least 255 * (-31 - 32): in 16 bits there is room for that of two rows.
//!
//! Long data is summed up by columns instead, see [`chunk`].

use super::portable;
use super::Adler32;
use super::Sums;
use super::Tables;
use super::LONGEST_SHORT;
use super::TABLES;
use super::TOP_WEIGHT;
use core::arch::asm;
use core::mem::offset_of;

/// The bytes of a row.
const ROW: usize = 64;

/// By how much the weights of a row are lowered.
const LOWERED: u64 = 33;

/// The bytes of a block, 16 rows. In the columns, see [`chunk`], a 16-bit lane of `before` grows to
/// at most 255 * 2 * (15 * 16 / 2) = 61,200 in it.
const BLOCK: usize = 16 * ROW;

/// The blocks of a group. In its 128 rows the even or the odd bytes of a lane add up to at most
/// 255 * 128 = 32,640: both fit in a signed 16-bit lane, and together in an unsigned one.
const GROUP: usize = 8;

/// The most bytes that [`chunk`] sums up: 512 rows of up to 64 * 255 = 16,320. With all lanes
/// together, `before` is then at most 16,320 * (512 * 511 / 2), below 2^31, and `weighted` at most
/// 255 * 32 * 32,768 either way.
const CHUNK: usize = 4 * GROUP * BLOCK;

/// From this length on, columns are faster than rows, as measured in steps of half a block.
const COLUMNS: usize = 2560;

/// Continues a checksum over the bytes given.
///
/// # Safety
///
/// The processor has [`Features::AVX2`](super::super::Features::AVX2), and the vector registers are
/// the caller's to change.
pub(in super::super) unsafe fn update(start: Adler32, data: &[u8]) -> Adler32 {
    match data.len() {
        0..=15 => portable(start, data),
        // SAFETY: The caller promises the same. The length is as required.
        16..=32 => start.append_tiny(data.len(), unsafe { up_to_32(data) }),
        // SAFETY: The caller promises the same. The length is as required.
        33..COLUMNS => start.append_short(data.len(), unsafe { rows(data) }),
        // SAFETY: The caller promises the same. The length is as required.
        _ => unsafe { columns(start, data) },
    }
}

/// Continues a checksum over the bytes given, at least [`COLUMNS`]. Apart from [`update`], so that
/// short data need not save the registers for which this has use.
///
/// # Safety
///
/// As for [`update`].
#[inline(never)]
unsafe fn columns(start: Adler32, data: &[u8]) -> Adler32 {
    let (mut sum, mut rest) = (start, data);
    while rest.len() > CHUNK {
        // All chunks but the first begin at a whole vector.
        let (first, others) = rest.split_at(CHUNK - rest.as_ptr().addr() % 32);
        // SAFETY: The caller promises the same. The length is as required.
        sum = sum.append(first.len(), unsafe { chunk(first) });
        rest = others;
    }
    if rest.len() >= COLUMNS {
        // SAFETY: As above.
        sum.append(rest.len(), unsafe { chunk(rest) })
    } else {
        // SAFETY: As above.
        unsafe { update(sum, rest) }
    }
}

/// Sums up 16 to 32 bytes: the first 16, and those after them as the last of another 16.
///
/// # Safety
///
/// As for [`update`].
#[inline(always)]
pub(super) unsafe fn up_to_32(data: &[u8]) -> Sums {
    let halves;
    // SAFETY: Reads the first and the last 16 bytes of `data`, which has as many, and as many
    // weights, ones and mask bytes as are there. Changes what is declared, and the caller promises
    // that the processor can do it.
    unsafe {
        asm!(
            "vmovdqu xmm0, [{data}]",
            "vmovdqu xmm1, [{data} + {len} - 16]",
            "vpand xmm1, xmm1, [{tables} + {len} + {masks} - 16]",
            "vpxor xmm4, xmm4, xmm4",
            "vpsadbw xmm2, xmm0, xmm4",
            "vpsadbw xmm3, xmm1, xmm4",
            "vpmaddubsw xmm0, xmm0, [{tables_less_len} + {top_weight}]",
            "vpmaddubsw xmm1, xmm1, [{tables} + {top_weight} - 16]",
            "vpaddd xmm2, xmm2, xmm3",
            "vpaddw xmm0, xmm0, xmm1",
            "vpmaddwd xmm0, xmm0, [{tables} + {wide_ones}]",
            "vpunpckhdq xmm1, xmm0, xmm2",
            "vpunpckldq xmm0, xmm0, xmm2",
            "vpaddd xmm0, xmm0, xmm1",
            "vpshufd xmm1, xmm0, 0x4e",
            "vpaddd xmm0, xmm0, xmm1",
            "vmovq {halves}, xmm0",
            data = in(reg) data.as_ptr(),
            len = in(reg) data.len(),
            tables = in(reg) &raw const TABLES,
            tables_less_len = in(reg) (&raw const TABLES).wrapping_byte_sub(data.len()),
            top_weight = const TOP_WEIGHT,
            masks = const offset_of!(Tables, masks),
            wide_ones = const offset_of!(Tables, wide_ones),
            halves = lateout(reg) halves,
            out("xmm0") _,
            out("xmm1") _,
            out("xmm2") _,
            out("xmm3") _,
            out("xmm4") _,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    Sums::from_halves(halves)
}

/// Sums up the first row of `$data`, and as many of the others as `$rows` says, and goes on with
/// `$next`.
///
/// The accumulators are ymm0 (`weighted`), ymm1 (`plain`) and ymm2 (`before`). In ymm3 and ymm4 are
/// the weights of a row, in ymm5 16-bit ones and in ymm6 zeros.
///
/// # Safety
///
/// As for [`update`]; `$data` is longer than 32 bytes.
macro_rules! sum_rows {
    (
        $data:ident, $rows:expr,
        $($next:expr,)+
        => $($output:ident = $value:expr,)+
        ; $($operands:tt)*
    ) => {{
        // The first row has none to 63 bytes, its first vector one to 32.
        let first_row = $data.len() % ROW;
        let first_vector = first_row.wrapping_sub(1) % 32 + 1;
        asm!(
            "vmovdqu ymm3, [{tables} + {weights}]",
            "vmovdqu ymm4, [{tables} + {weights} + 32]",
            "vmovdqa ymm5, [{tables} + {wide_ones}]",
            "vpxor xmm6, xmm6, xmm6",
            "vpxor xmm0, xmm0, xmm0",
            "vpxor xmm1, xmm1, xmm1",
            "vpxor xmm2, xmm2, xmm2",
            "test {first_row:e}, {first_row:e}",
            "jz 2f",
            "vmovdqu ymm7, [{data}]",
            "vpand ymm7, ymm7, [{tables_less_vector} + {masks} + 48]",
            "vpsadbw ymm1, ymm7, ymm6",
            "vpmaddubsw ymm7, ymm7, [{tables_less_row} + {weights} + 64]",
            "vpmaddwd ymm0, ymm7, ymm5",
            "add {data}, {first_row}",
            "cmp {first_row:e}, 32",
            "jbe 2f",
            "vmovdqu ymm7, [{data} - 32]",
            "vpsadbw ymm8, ymm7, ymm6",
            "vpmaddubsw ymm7, ymm7, ymm4",
            "vpaddd ymm1, ymm1, ymm8",
            "vpmaddwd ymm7, ymm7, ymm5",
            "vpaddd ymm0, ymm0, ymm7",
            "2:",
            // An odd row.
            "shr {rows:e}, 1",
            "jnc 3f",
            "vmovdqu ymm7, [{data}]",
            "vmovdqu ymm8, [{data} + 32]",
            "vpaddd ymm2, ymm2, ymm1",
            "vpsadbw ymm9, ymm7, ymm6",
            "vpmaddubsw ymm7, ymm7, ymm3",
            "vpsadbw ymm10, ymm8, ymm6",
            "vpmaddubsw ymm8, ymm8, ymm4",
            "vpaddd ymm9, ymm9, ymm10",
            "vpaddw ymm7, ymm7, ymm8",
            "vpaddd ymm1, ymm1, ymm9",
            "vpmaddwd ymm7, ymm7, ymm5",
            "vpaddd ymm0, ymm0, ymm7",
            "add {data}, 64",
            "3:",
            "test {rows:e}, {rows:e}",
            "jz 5f",
            // Rows in pairs.
            ".p2align 4",
            "4:",
            "vmovdqu ymm7, [{data}]",
            "vmovdqu ymm8, [{data} + 32]",
            "vmovdqu ymm9, [{data} + 64]",
            "vmovdqu ymm10, [{data} + 96]",
            "vpaddd ymm2, ymm2, ymm1",
            "vpsadbw ymm11, ymm7, ymm6",
            "vpsadbw ymm12, ymm8, ymm6",
            "vpsadbw ymm13, ymm9, ymm6",
            "vpsadbw ymm14, ymm10, ymm6",
            "vpmaddubsw ymm7, ymm7, ymm3",
            "vpmaddubsw ymm8, ymm8, ymm4",
            "vpmaddubsw ymm9, ymm9, ymm3",
            "vpmaddubsw ymm10, ymm10, ymm4",
            "vpaddd ymm11, ymm11, ymm12",
            "vpaddd ymm13, ymm13, ymm14",
            "vpaddw ymm7, ymm7, ymm8",
            "vpaddw ymm9, ymm9, ymm10",
            "vpaddd ymm1, ymm1, ymm11",
            "vpaddw ymm7, ymm7, ymm9",
            "vpaddd ymm2, ymm2, ymm1",
            "vpmaddwd ymm7, ymm7, ymm5",
            "vpaddd ymm1, ymm1, ymm13",
            "vpaddd ymm0, ymm0, ymm7",
            "add {data}, 128",
            "dec {rows:e}",
            "jnz 4b",
            "5:",
            $($next,)+
            "vzeroupper",
            data = inout(reg) $data.as_ptr() => _,
            rows = inout(reg) $rows => _,
            first_row = in(reg) first_row,
            tables = in(reg) &raw const TABLES,
            tables_less_row = in(reg) (&raw const TABLES).wrapping_byte_sub(first_row),
            tables_less_vector = in(reg) (&raw const TABLES).wrapping_byte_sub(first_vector),
            weights = const TOP_WEIGHT - 31,
            masks = const offset_of!(Tables, masks),
            wide_ones = const offset_of!(Tables, wide_ones),
            $($operands)*
            $($output = lateout(reg) $value,)+
            out("xmm0") _,
            out("xmm1") _,
            out("xmm2") _,
            out("xmm3") _,
            out("xmm4") _,
            out("xmm5") _,
            out("xmm6") _,
            out("xmm7") _,
            out("xmm8") _,
            out("xmm9") _,
            out("xmm10") _,
            out("xmm11") _,
            out("xmm12") _,
            out("xmm13") _,
            out("xmm14") _,
            // Of `vzeroupper`.
            out("xmm15") _,
            options(pure, readonly, nostack),
        )
    }};
}

/// Adds up the lanes of ymm0 (`weighted`) and ymm1 (`plain`) and puts them into the lower and the
/// upper half of `{halves}`.
macro_rules! reduce {
    () => {
        "vpunpckhdq ymm3, ymm0, ymm1
        vpunpckldq ymm0, ymm0, ymm1
        vpaddd ymm0, ymm0, ymm3
        vextracti128 xmm1, ymm0, 1
        vpaddd xmm0, xmm0, xmm1
        vpshufd xmm1, xmm0, 0x4e
        vpaddd xmm0, xmm0, xmm1
        vmovq {halves}, xmm0"
    };
}

/// Sums up 33 to [`LONGEST_SHORT`] bytes, for which `weighted` as a whole fits in 32 bits.
///
/// # Safety
///
/// As for [`update`].
#[inline(always)]
unsafe fn rows(data: &[u8]) -> Sums {
    const { assert!(COLUMNS <= LONGEST_SHORT) };
    let halves;
    // SAFETY: Reads the first 32 bytes of `data`, which has as many, the second vector of the first
    // row if there is one, the rows, and the tables. Changes what is declared, and the caller
    // promises that the processor can do it.
    unsafe {
        sum_rows!(
            data, data.len() / ROW,
            // weighted + 64 * before + 33 * plain
            "vpslld ymm2, ymm2, 6",
            "vpslld ymm3, ymm1, 5",
            "vpaddd ymm2, ymm2, ymm1",
            "vpaddd ymm0, ymm0, ymm3",
            "vpaddd ymm0, ymm0, ymm2",
            reduce!(),
            => halves = halves,
            ;
        );
    }
    Sums::from_halves(halves)
}

/// Adds a row to the columns, see [`chunk`].
macro_rules! row {
    ($at:literal) => {
        concat!(
            "vmovdqu ymm7, [{data} + ",
            $at,
            "]
            vmovdqu ymm8, [{data} + ",
            $at,
            " + 32]
            vpaddw ymm13, ymm13, ymm7
            vpaddw ymm14, ymm14, ymm8
            vpmaddubsw ymm7, ymm7, ymm5
            vpmaddubsw ymm8, ymm8, ymm5
            vpaddw ymm11, ymm11, ymm9
            vpaddw ymm12, ymm12, ymm10
            vpaddw ymm9, ymm9, ymm7
            vpaddw ymm10, ymm10, ymm8"
        )
    };
}

/// Sums up at least [`COLUMNS`] and at most [`CHUNK`] bytes.
///
/// The rows after the last whole block of them come first, as in [`rows`]. In the blocks, the two
/// bytes of a 16-bit lane are left together, and there are for each of the two vectors of a row
///
/// ```text
/// pairs    sum of the two bytes of a lane
/// before   sum of what `pairs` was before each row
/// words    sum of the lanes as they are, even + 256 * odd modulo 2^16
/// ```
///
/// `pairs - words` is -255 * odd, and times 257 it is odd, modulo 2^16: so in the end there are
/// sums of the even and the odd bytes, for the weights. `before` starts from the smallest signed
/// value, so that the instruction that takes it to 32 bits, which is a signed one, can; this is
/// made up for in the end. Per 64 bytes these are two `vpmaddubsw` and six additions, of which any
/// port for vectors can do any. `before` is emptied after each block, the other two after a group.
///
/// ```text
/// ymm9, 10   `pairs` of the block
/// ymm11, 12  `before` of the block
/// ymm13, 14  `words` of the group
/// ymm3, 4    `pairs` of the group
/// ymm0-2     as in `rows`: `weighted`, `plain`, `before`
/// ymm6       sum of what `plain` was before each block
/// ymm5       ones
/// ```
///
/// # Safety
///
/// As for [`update`].
#[inline(always)]
unsafe fn chunk(data: &[u8]) -> Sums {
    const { assert!(COLUMNS >= BLOCK) };
    let blocks = data.len() / BLOCK;
    let (halves, before): (u64, u64);
    // SAFETY: As in `rows`; what those leave of `data` is whole blocks.
    unsafe {
        sum_rows!(
            data, data.len() / ROW % (BLOCK / ROW),
            "vmovdqa ymm5, [{tables} + {ones}]",
            "6:",
            "vpxor xmm3, xmm3, xmm3",
            "vpxor xmm4, xmm4, xmm4",
            "vpxor xmm13, xmm13, xmm13",
            "vpxor xmm14, xmm14, xmm14",
            "sub {blocks:e}, {group:e}",
            ".p2align 4",
            "7:",
            "vpaddd ymm6, ymm6, ymm1",
            "vpxor xmm9, xmm9, xmm9",
            "vpxor xmm10, xmm10, xmm10",
            "vmovdqa ymm11, [{tables} + {smallest}]",
            "vmovdqa ymm12, ymm11",
            row!("0"),
            row!("64"),
            row!("128"),
            row!("192"),
            row!("256"),
            row!("320"),
            row!("384"),
            row!("448"),
            row!("512"),
            row!("576"),
            row!("640"),
            row!("704"),
            row!("768"),
            row!("832"),
            row!("896"),
            row!("960"),
            "vpaddw ymm3, ymm3, ymm9",
            "vpaddw ymm4, ymm4, ymm10",
            "vpaddw ymm9, ymm9, ymm10",
            "vpmaddwd ymm11, ymm11, [{tables} + {wide_ones}]",
            "vpmaddwd ymm12, ymm12, [{tables} + {wide_ones}]",
            "vpmaddwd ymm9, ymm9, [{tables} + {wide_ones}]",
            "vpaddd ymm2, ymm2, ymm11",
            "vpaddd ymm1, ymm1, ymm9",
            "vpaddd ymm2, ymm2, ymm12",
            "add {data}, 1024",
            "dec {group:e}",
            "jnz 7b",
            // odd: ymm13, 14; even: ymm3, 4
            "vmovdqa ymm7, [{tables} + {inverse}]",
            "vpsubw ymm13, ymm3, ymm13",
            "vpsubw ymm14, ymm4, ymm14",
            "vpmullw ymm13, ymm13, ymm7",
            "vpmullw ymm14, ymm14, ymm7",
            "vpsubw ymm3, ymm3, ymm13",
            "vpsubw ymm4, ymm4, ymm14",
            "vpmaddwd ymm3, ymm3, [{tables} + {even_weights}]",
            "vpmaddwd ymm4, ymm4, [{tables} + {even_weights} + 32]",
            "vpmaddwd ymm13, ymm13, [{tables} + {odd_weights}]",
            "vpmaddwd ymm14, ymm14, [{tables} + {odd_weights} + 32]",
            "vpaddd ymm3, ymm3, ymm4",
            "vpaddd ymm13, ymm13, ymm14",
            "vpaddd ymm0, ymm0, ymm3",
            "vpaddd ymm0, ymm0, ymm13",
            "mov {group:e}, {full_group}",
            "test {blocks:e}, {blocks:e}",
            "jnz 6b",
            // before: a block has 16 rows.
            "vpslld ymm6, ymm6, 4",
            "vpaddd ymm2, ymm2, ymm6",
            "vextracti128 xmm4, ymm2, 1",
            "vpaddd xmm2, xmm2, xmm4",
            "vpshufd xmm4, xmm2, 0x4e",
            "vpaddd xmm2, xmm2, xmm4",
            "vpshufd xmm4, xmm2, 0xb1",
            "vpaddd xmm2, xmm2, xmm4",
            "vmovd {before:e}, xmm2",
            reduce!(),
            => halves = halves, before = before,
            ; blocks = inout(reg) blocks => _,
            // The first group may be short.
            group = inout(reg) (blocks - 1) % GROUP + 1 => _,
            full_group = const GROUP,
            ones = const offset_of!(Tables, ones),
            smallest = const offset_of!(Tables, smallest),
            inverse = const offset_of!(Tables, inverse),
            even_weights = const offset_of!(Tables, even_weights),
            odd_weights = const offset_of!(Tables, odd_weights),
        );
    }
    // The smallest values of two vectors of 16 lanes per block.
    let before = (before as u32).wrapping_add(blocks as u32 * 2 * 16 * 0x8000);
    let Sums { plain, weighted } = Sums::from_halves(halves);
    let weighted = i64::from(weighted as i32);
    Sums {
        plain,
        weighted: (ROW as u64 * u64::from(before) + LOWERED * plain).wrapping_add_signed(weighted),
    }
}
