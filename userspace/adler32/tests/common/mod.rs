// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Two independent implementations, which must agree, to compare ours with.

use adler32::Adler32;

/// The largest possible value: both sums are one below the modulus.
pub const WORST_START: u32 = 0xfff0_fff0;

pub fn adler(value: u32) -> Adler32 {
    Adler32::from_value(value).expect("a possible value")
}

/// The running checksum of the other implementations.
pub struct Others(adler2::Adler32, simd_adler32::Adler32);

impl Others {
    pub fn new(start: u32) -> Self {
        Self(
            adler2::Adler32::from_checksum(start),
            simd_adler32::Adler32::from_checksum(start),
        )
    }

    pub fn write(&mut self, data: &[u8]) {
        self.0.write_slice(data);
        self.1.write(data);
    }

    pub fn value(&self) -> u32 {
        assert_eq!(self.0.checksum(), self.1.finish());
        self.0.checksum()
    }
}

/// Returns the checksum that the other implementations compute.
pub fn theirs(start: u32, data: &[u8]) -> u32 {
    let mut others = Others::new(start);
    others.write(data);
    others.value()
}
