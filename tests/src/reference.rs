// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The right checksums, from code that shares nothing with the module, and data to sum.

use std::io;

const MODULUS: u128 = 65521;

/// Returns the checksum of `data`.
pub fn adler(data: &[u8]) -> u32 {
    append(1, data)
}

/// Continues the checksum `value` over `data`.
pub fn append(value: u32, data: &[u8]) -> u32 {
    let mut adler = adler2::Adler32::from_checksum(value);
    adler.write_slice(data);
    adler.checksum()
}

/// Continues the checksum `value` over `count` bytes that are all `byte`, in closed form.
pub fn append_repeated(value: u32, byte: u8, count: u64) -> u32 {
    let (s1, s2) = (u128::from(value & 0xffff), u128::from(value >> 16));
    let (c, n) = (u128::from(byte), u128::from(count));
    let triangle = n * (n + 1) / 2 % MODULUS;
    let next_s1 = (s1 + n * c) % MODULUS;
    let next_s2 = (s2 + n * s1 + c * triangle) % MODULUS;
    (next_s2 << 16 | next_s1) as u32
}

/// Returns the text that a read of the device returns for a checksum.
pub fn text(value: u32) -> String {
    format!("{value:08x}\n")
}

/// Returns `len` bytes without a pattern, which depend on `seed` alone.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut data = Vec::with_capacity(len + 8);
    while data.len() < len {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        data.extend_from_slice(&x.to_le_bytes());
    }
    data.truncate(len);
    data
}

/// Writes `len` bytes of noise, whole MiB, and returns their checksum.
pub fn fill(file: &mut impl io::Write, len: usize) -> io::Result<u32> {
    const MIB: usize = 1 << 20;
    let mut sum = 1;
    for number in 0..len / MIB {
        let data = noise(MIB, 3 + number as u64);
        file.write_all(&data)?;
        sum = append(sum, &data);
    }
    Ok(sum)
}
