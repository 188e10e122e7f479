// SPDX-License-Identifier: GPL-2.0

//! The hash `adler32` of the crypto API.
//!
//! The digest is the checksum in network byte order, as in RFC 1950. The optional key is the start
//! value in the same form.

use core::ffi::CStr;

use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

use crate::{
    adler32::Adler32,
    kernel_ext::shash::Shash,
    platform,
    uapi, //
};

pub(crate) struct Adler32Shash;

/// The key of a transform: the start value of all its hashes.
pub(crate) struct Key(Atomic<u32>);

/// Parses a key or an exported state.
fn checksum(bytes: &[u8]) -> Result<Adler32> {
    let bytes = bytes.try_into().map_err(|_| EINVAL)?;
    Adler32::from_be_bytes(bytes).ok_or(EINVAL)
}

impl Shash for Adler32Shash {
    const NAME: &'static CStr = uapi::ALG_NAME;
    const DRIVER_NAME: &'static CStr = uapi::DRIVER_NAME;
    // The module of the Lustre file system registers an "adler32" with a little-endian digest and
    // priority 100. Where both modules are loaded, users of that name rely on Lustre's digest.
    const PRIORITY: i32 = 90;
    const BLOCK_SIZE: u32 = 1;

    type Transform = Key;
    type Descriptor = Adler32;
    type Digest = [u8; 4];
    type State = [u8; 4];

    fn new_transform() -> Key {
        Key(Atomic::new(Adler32::EMPTY.value()))
    }

    fn set_key(key: &Key, bytes: &[u8]) -> Result {
        key.0.store(checksum(bytes)?.value(), Relaxed);
        Ok(())
    }

    fn init(key: &Key) -> Adler32 {
        Adler32::from_value(key.0.load(Relaxed)).unwrap_or(Adler32::EMPTY)
    }

    fn update(sum: &mut Adler32, data: &[u8]) {
        *sum = platform::update(*sum, data);
    }

    fn digest(sum: &Adler32) -> [u8; 4] {
        sum.to_be_bytes()
    }

    fn export(sum: &Adler32) -> [u8; 4] {
        sum.to_be_bytes()
    }

    fn import(state: [u8; 4]) -> Result<Adler32> {
        checksum(&state)
    }
}

#[kunit_tests(adler32_shash)]
mod tests {
    use super::*;

    #[test]
    fn exported_states_are_imported() -> Result {
        let mut sum = Adler32Shash::init(&Adler32Shash::new_transform());
        Adler32Shash::update(&mut sum, b"abc");
        let state = Adler32Shash::export(&sum);
        let mut copy = Adler32Shash::import(state)?;
        Adler32Shash::update(&mut copy, b"de");
        assert_eq!(Adler32Shash::digest(&copy), [0x05, 0xc8, 0x01, 0xf0]);
        assert_eq!(Adler32Shash::digest(&sum), [0x02, 0x4d, 0x01, 0x27]);
        Ok(())
    }

    #[test]
    fn impossible_states_are_refused() {
        for state in [[0, 0, 0xff, 0xf1], [0xff, 0xf1, 0, 1], [0xff; 4]] {
            assert_eq!(Adler32Shash::import(state), Err(EINVAL));
        }
        let greatest = Adler32Shash::import([0xff, 0xf0, 0xff, 0xf0]);
        assert_eq!(greatest.map(|sum| sum.value()), Ok(0xfff0_fff0));
    }

    #[test]
    fn refused_keys_change_nothing() -> Result {
        let transform = Adler32Shash::new_transform();
        Adler32Shash::set_key(&transform, &[0x02, 0x4d, 0x01, 0x27])?;
        for key in [&[][..], &[0; 3], &[0; 5], &[0xff; 4]] {
            assert_eq!(Adler32Shash::set_key(&transform, key), Err(EINVAL));
        }
        let mut sum = Adler32Shash::init(&transform);
        Adler32Shash::update(&mut sum, b"de");
        assert_eq!(Adler32Shash::digest(&sum), [0x05, 0xc8, 0x01, 0xf0]);
        Ok(())
    }
}
