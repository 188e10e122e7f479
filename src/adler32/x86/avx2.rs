// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The implementation for AVX2. The instruction `vpmaddubsw` multiplies 32 bytes of data by 32
//! signed weights and adds each pair of products in a 16-bit lane.
//!
//! A row has 64 bytes, which are two vectors. The weights of a row, 64 to 1, are lowered by 33 (see
//! the parent module) to 31..=-32. The sum of a lane of both vectors is then at most
//! 255 * (31 + 30) and at least 255 * (-31 - 32), so a 16-bit lane has room for two rows.
//!
//! Long data are summed in columns instead, see [`chunk`].

use core::{
    arch::asm,
    mem::offset_of, //
};

use super::{
    portable,
    Adler32,
    Sums,
    Tables,
    LONGEST_SHORT,
    TABLES,
    TOP_WEIGHT, //
};

/// The number of bytes in a row.
const ROW: usize = 64;

/// The weights of a row are lowered by this.
const LOWERED: u64 = 33;

/// The number of bytes in a block, which has 16 rows. Within a block, a 16-bit lane of `before` in
/// [`chunk`] grows by at most 255 * 2 * (15 * 16 / 2) = 61,200.
const BLOCK: usize = 16 * ROW;

/// The number of blocks in a group. In the 128 rows of a group, the even bytes of a lane add up to
/// at most 255 * 128 = 32,640, which fits in a signed 16-bit lane. So do the odd bytes. Even and
/// odd bytes together fit in an unsigned 16-bit lane.
const GROUP: usize = 8;

/// The largest number of bytes that [`chunk`] sums: 512 rows, each with a plain sum of at most
/// 64 * 255 = 16,320. Added up over all lanes, `before` is then at most 16,320 * (512 * 511 / 2),
/// which is below 2^31, and the absolute value of `weighted` is at most 255 * 32 * 32,768.
const CHUNK: usize = 4 * GROUP * BLOCK;

/// From this length on, columns are faster than rows, as measured in steps of half a block.
const COLUMNS: usize = 2560;

/// Continues a checksum over `data`.
///
/// # Safety
///
/// The processor must have [`Features::AVX2`](super::super::Features::AVX2), and the caller must
/// allow this function to change the vector registers.
pub(in super::super) unsafe fn update(start: Adler32, data: &[u8]) -> Adler32 {
    match data.len() {
        0..=15 => portable(start, data),
        // SAFETY: The caller guarantees the same requirements. The pattern checks the length.
        16..=32 => start.append_tiny(data.len(), unsafe { up_to_32(data) }),
        // SAFETY: The caller guarantees the same requirements. The pattern checks the length.
        33..COLUMNS => start.append_short(data.len(), unsafe { rows(data) }),
        // SAFETY: The caller guarantees the same requirements. The patterns check the length.
        _ => unsafe { columns(start, data) },
    }
}

/// Continues a checksum over `data`, which has at least [`COLUMNS`] bytes. This is not inlined, so
/// that [`update`] need not save registers for short data.
///
/// # Safety
///
/// As for [`update`].
#[inline(never)]
unsafe fn columns(start: Adler32, data: &[u8]) -> Adler32 {
    let (mut sum, mut rest) = (start, data);
    while rest.len() > CHUNK {
        // All chunks except the first begin at the address of an aligned vector.
        let (first, others) = rest.split_at(CHUNK - rest.as_ptr().addr() % 32);
        // SAFETY: The caller guarantees the same requirements. The length is at most `CHUNK`, and
        // at least `CHUNK - 31`, which is more than `COLUMNS`.
        sum = sum.append(first.len(), unsafe { chunk(first) });
        rest = others;
    }
    if rest.len() >= COLUMNS {
        // SAFETY: The caller guarantees the same requirements. The loop ends with at most `CHUNK`
        // bytes left, and there are at least `COLUMNS`.
        sum.append(rest.len(), unsafe { chunk(rest) })
    } else {
        // SAFETY: The caller guarantees the same requirements.
        unsafe { update(sum, rest) }
    }
}

/// Sums 16 to 32 bytes as two vectors of 16 bytes, the first 16 and the last 16, which may overlap.
///
/// ```text
/// xmm0   the first 16 bytes, and then `weighted`
/// xmm1   the last 16 bytes without those that are in xmm0, and then scratch
/// xmm2   `plain`
/// xmm3   plain sums of xmm1
/// xmm4   zeros
/// ```
///
/// # Safety
///
/// As for [`update`]. `data` must have 16 to 32 bytes.
#[inline(always)]
pub(super) unsafe fn up_to_32(data: &[u8]) -> Sums {
    let halves;
    // SAFETY: The code reads the first and the last 16 bytes of `data`, which the caller guarantees
    // to exist. For a length of 16 to 32 bytes, the other reads are inside `TABLES`. It changes
    // only the registers that are declared. The caller guarantees that the processor has the
    // instructions and that the registers may be changed.
    unsafe {
        asm!(
            // Load the bytes, and remove from the last 16 those that the first 16 contain.
            "vmovdqu xmm0, [{data}]",
            "vmovdqu xmm1, [{data} + {len} - 16]",
            "vpand xmm1, xmm1, [{tables} + {len} + {masks} - 16]",
            // Sum the bytes: `vpsadbw` adds up the differences from zeros, eight bytes to a lane.
            "vpxor xmm4, xmm4, xmm4",
            "vpsadbw xmm2, xmm0, xmm4",
            "vpsadbw xmm3, xmm1, xmm4",
            // Multiply by the weights len..len - 15 and 16..1, which are small enough for 16-bit
            // lanes without being lowered.
            "vpmaddubsw xmm0, xmm0, [{tables_less_len} + {top_weight}]",
            "vpmaddubsw xmm1, xmm1, [{tables} + {top_weight} - 16]",
            // Add up both vectors, and widen `weighted` to 32-bit lanes like those of `plain`.
            "vpaddd xmm2, xmm2, xmm3",
            "vpaddw xmm0, xmm0, xmm1",
            "vpmaddwd xmm0, xmm0, [{tables} + {wide_ones}]",
            // Add up the lanes of `weighted` and `plain` together, side by side: four lanes to two,
            // then two to one.
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

/// Expands to an `asm!` that sums the first row of `$data`, which may be short, and `$rows` more
/// rows, and then executes the instructions `$next`.
///
/// The outputs follow the instructions after `=>`, and other operands of `$next` follow after `;`.
///
/// ```text
/// ymm0       `weighted`
/// ymm1       `plain`
/// ymm2       `before`
/// ymm3, 4    the weights of the two vectors of a row
/// ymm5       16-bit ones
/// ymm6       zeros
/// ymm7-10    the data of one or two rows, and then their weighted sums
/// ymm8-14    plain sums
/// ```
///
/// The labels 2 to 5 belong to this macro. `$next` may define labels from 6 on. (Assemblers take
/// `0b` and `1b` for binary numbers.)
///
/// # Safety
///
/// As for [`update`]. `$data` must have more than 32 bytes, and at least `$rows` rows after the
/// first.
macro_rules! sum_rows {
    (
        $data:ident, $rows:expr,
        $($next:expr,)+
        => $($output:ident = $value:expr,)+
        ; $($operands:tt)*
    ) => {{
        // The first row has 0 to 63 bytes. If it has any, its first vector has 1 to 32.
        let first_row = $data.len() % ROW;
        let first_vector = first_row.wrapping_sub(1) % 32 + 1;
        asm!(
            // Part 1, setup: load the constants and clear the accumulators.
            "vmovdqu ymm3, [{tables} + {weights}]",
            "vmovdqu ymm4, [{tables} + {weights} + 32]",
            "vmovdqa ymm5, [{tables} + {wide_ones}]",
            "vpxor xmm6, xmm6, xmm6",
            "vpxor xmm0, xmm0, xmm0",
            "vpxor xmm1, xmm1, xmm1",
            "vpxor xmm2, xmm2, xmm2",

            // Part 2, the first row. Its first vector may be short, so remove the bytes after it.
            // Multiply by the last weights of a row, as many as this row has bytes.
            "test {first_row:e}, {first_row:e}",
            "jz 2f",
            "vmovdqu ymm7, [{data}]",
            "vpand ymm7, ymm7, [{tables_less_vector} + {masks} + 48]",
            "vpsadbw ymm1, ymm7, ymm6",
            "vpmaddubsw ymm7, ymm7, [{tables_less_row} + {weights} + 64]",
            "vpmaddwd ymm0, ymm7, ymm5",
            // Its second vector, if any, is whole, and ends where the next row begins.
            "add {data}, {first_row}",
            "cmp {first_row:e}, 32",
            "jbe 2f",
            "vmovdqu ymm7, [{data} - 32]",
            "vpsadbw ymm8, ymm7, ymm6",
            "vpmaddubsw ymm7, ymm7, ymm4",
            "vpaddd ymm1, ymm1, ymm8",
            "vpmaddwd ymm7, ymm7, ymm5",
            "vpaddd ymm0, ymm0, ymm7",

            // Part 3, a single row if their number is odd: the loop below takes two at a time.
            "2:",
            "shr {rows:e}, 1",
            "jnc 3f",
            "vmovdqu ymm7, [{data}]",
            "vmovdqu ymm8, [{data} + 32]",
            // `before` grows by the value of `plain` before this row.
            "vpaddd ymm2, ymm2, ymm1",
            "vpsadbw ymm9, ymm7, ymm6",
            "vpmaddubsw ymm7, ymm7, ymm3",
            "vpsadbw ymm10, ymm8, ymm6",
            "vpmaddubsw ymm8, ymm8, ymm4",
            // Add up both vectors, in 16-bit lanes before they are widened.
            "vpaddd ymm9, ymm9, ymm10",
            "vpaddw ymm7, ymm7, ymm8",
            "vpaddd ymm1, ymm1, ymm9",
            "vpmaddwd ymm7, ymm7, ymm5",
            "vpaddd ymm0, ymm0, ymm7",
            "add {data}, 64",
            "3:",
            "test {rows:e}, {rows:e}",
            "jz 5f",

            // Part 4, the loop over pairs of rows. Two rows need only one `vpmaddwd`.
            ".p2align 4",
            "4:",
            "vmovdqu ymm7, [{data}]",
            "vmovdqu ymm8, [{data} + 32]",
            "vmovdqu ymm9, [{data} + 64]",
            "vmovdqu ymm10, [{data} + 96]",
            // `before` of the first row, and the plain sums of all four vectors.
            "vpaddd ymm2, ymm2, ymm1",
            "vpsadbw ymm11, ymm7, ymm6",
            "vpsadbw ymm12, ymm8, ymm6",
            "vpsadbw ymm13, ymm9, ymm6",
            "vpsadbw ymm14, ymm10, ymm6",
            // The weighted sums of all four vectors.
            "vpmaddubsw ymm7, ymm7, ymm3",
            "vpmaddubsw ymm8, ymm8, ymm4",
            "vpmaddubsw ymm9, ymm9, ymm3",
            "vpmaddubsw ymm10, ymm10, ymm4",
            // Add up the two vectors of each row.
            "vpaddd ymm11, ymm11, ymm12",
            "vpaddd ymm13, ymm13, ymm14",
            "vpaddw ymm7, ymm7, ymm8",
            "vpaddw ymm9, ymm9, ymm10",
            // `plain` of the first row comes before `before` of the second row. The weighted sums
            // of both rows fit in 16-bit lanes together.
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
            // Without this, later code with SSE instructions could be slow.
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
            // `vzeroupper` changes this register, too.
            out("xmm15") _,
            options(pure, readonly, nostack),
        )
    }};
}

/// Adds up the lanes of ymm0 (`weighted`) and ymm1 (`plain`), and stores the sums in the lower and
/// the upper half of `{halves}`. Changes ymm3.
///
/// Interleaving adds up both sums together: eight lanes of each to four, then two, then one.
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

/// Sums more than 32 and less than [`COLUMNS`] bytes. For these, the complete weighted sum fits in
/// 32 bits.
///
/// # Safety
///
/// As for [`update`]. `data` must have more than 32 bytes.
#[inline(always)]
unsafe fn rows(data: &[u8]) -> Sums {
    const { assert!(COLUMNS <= LONGEST_SHORT) };
    let halves;
    // SAFETY: The code reads the first 32 bytes of `data`, which the caller guarantees to exist,
    // the second vector of the first row if the row has one, the other rows, and `TABLES`. It
    // changes only the registers that are declared. The caller guarantees that the processor has
    // the instructions and that the registers may be changed.
    unsafe {
        sum_rows!(
            data, data.len() / ROW,
            // In each lane, compute weighted + 64 * before + 33 * plain.
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

/// Adds the row at `{data} + $at` to the columns, see [`chunk`]: to `words`, then `pairs` to
/// `before`, and then the row to `pairs`.
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

/// Sums at least [`COLUMNS`] and at most [`CHUNK`] bytes.
///
/// The rows in front of the whole blocks are summed as in [`rows`]. In the blocks, each 16-bit lane
/// of the two vectors of a row is a column of two bytes, an even and an odd one. Each column has
/// the sums
///
/// ```text
/// pairs    the sum of the two bytes of each row
/// before   the sum of the values of `pairs` before each row
/// words    the sum of the lanes as they are, even + 256 * odd modulo 2^16
/// ```
///
/// Modulo 2^16, `pairs - words` is -255 * odd, and 257 times that is odd. So the sums of the even
/// and of the odd bytes follow at the end, and are multiplied by the weights only then. Per 64
/// bytes, this takes two `vpmaddubsw` and six additions, which any of the processor's ports for
/// vectors can execute.
///
/// `before` starts at the smallest signed value, because `vpmaddwd`, which widens it to 32 bits, is
/// a signed instruction. At the end, 2^15 is added back for each lane. `before` is added to its
/// accumulator and starts over after each block, and the other two after each group.
///
/// ```text
/// ymm0-2     `weighted`, `plain` and `before` of the data, as in `rows`
/// ymm3, 4    `pairs` of the group
/// ymm5       ones
/// ymm6       the sum of the values of `plain` before each block
/// ymm7, 8    the data of one row
/// ymm9, 10   `pairs` of the block
/// ymm11, 12  `before` of the block
/// ymm13, 14  `words` of the group
/// ```
///
/// The labels 6 (a group begins) and 7 (a block begins) are in addition to those of [`sum_rows`].
///
/// # Safety
///
/// As for [`update`]. `data` must have at least [`COLUMNS`] bytes.
#[inline(always)]
unsafe fn chunk(data: &[u8]) -> Sums {
    const { assert!(COLUMNS >= BLOCK) };
    let blocks = data.len() / BLOCK;
    let (halves, before): (u64, u64);
    // SAFETY: As in `rows`. In addition, the code reads the `blocks` blocks that `sum_rows!`
    // leaves.
    unsafe {
        sum_rows!(
            data, data.len() / ROW % (BLOCK / ROW),
            "vmovdqa ymm5, [{tables} + {ones}]",

            // A group begins: clear its sums, and count its blocks.
            "6:",
            "vpxor xmm3, xmm3, xmm3",
            "vpxor xmm4, xmm4, xmm4",
            "vpxor xmm13, xmm13, xmm13",
            "vpxor xmm14, xmm14, xmm14",
            "sub {blocks:e}, {group:e}",

            // A block begins: note `plain`, and start the sums of the block.
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
            // A block ends: add its sums to those of the group and of the data. The sum of `pairs`
            // of both vectors is small enough for a signed lane, so one `vpmaddwd` widens it.
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

            // A group ends: derive the odd bytes (ymm13, 14) from `pairs` and `words`, and from
            // them the even bytes (ymm3, 4).
            "vmovdqa ymm7, [{tables} + {inverse}]",
            "vpsubw ymm13, ymm3, ymm13",
            "vpsubw ymm14, ymm4, ymm14",
            "vpmullw ymm13, ymm13, ymm7",
            "vpmullw ymm14, ymm14, ymm7",
            "vpsubw ymm3, ymm3, ymm13",
            "vpsubw ymm4, ymm4, ymm14",
            // Multiply all columns by their weights, and add them to `weighted`.
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

            // The end: `plain` before a block counts in `before` for each of its 16 rows. Then add
            // up the lanes of `before`: eight to four, two and one.
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
            // The first group may have fewer blocks than the others.
            group = inout(reg) (blocks - 1) % GROUP + 1 => _,
            full_group = const GROUP,
            ones = const offset_of!(Tables, ones),
            smallest = const offset_of!(Tables, smallest),
            inverse = const offset_of!(Tables, inverse),
            even_weights = const offset_of!(Tables, even_weights),
            odd_weights = const offset_of!(Tables, odd_weights),
        );
    }
    // The bias: in each block, `before` starts at -0x8000 in two vectors of 16 lanes.
    let before = (before as u32).wrapping_add(blocks as u32 * 2 * 16 * 0x8000);
    let Sums { plain, weighted } = Sums::from_halves(halves);
    let weighted = i64::from(weighted as i32);
    Sums {
        plain,
        weighted: (ROW as u64 * u64::from(before) + LOWERED * plain).wrapping_add_signed(weighted),
    }
}
