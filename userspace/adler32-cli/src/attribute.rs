// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Checksums in extended attributes, as XRootD and StoRM store them.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use adler32::describe;
use rustix::fs::XattrFlags;

use crate::checksum;

/// The attribute of XRootD.
const XROOTD: &str = "user.XrdCks.adler32";
/// The attribute of old versions of xrdadler32: `05c801f0:` and the time of modification.
const LEGACY: &str = "user.checksum.adler32";
/// The attribute of StoRM: `05c801f0`.
const STORM: &str = "user.storm.checksum.adler32";

/// The program that reads the attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// user.XrdCks.adler32
    Xrootd,
    /// user.storm.checksum.adler32
    Storm,
}

/// A checksum in an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    pub checksum: u32,
    /// The time of modification of the file whose checksum this is, in seconds. StoRM stores none.
    modified: Option<i64>,
    /// The time when the checksum was stored. Only XRootD stores it.
    stored: Option<i64>,
}

/// The size and the times of a file. A change of the file changes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    pub size: u64,
    /// The time of modification, in seconds and nanoseconds.
    modified: (i64, i64),
    /// The time of the last change, also of attributes, owner or mode.
    changed: (i64, i64),
}

impl State {
    /// Returns the state of a file.
    pub fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// Returns the time of modification, in seconds.
    pub fn modified(&self) -> i64 {
        self.modified.0
    }
}

impl Stored {
    /// Returns whether the file still has the stored time of modification, or `None` for StoRM,
    /// which stores no time.
    pub fn is_current(&self, state: &State) -> Option<bool> {
        self.modified.map(|modified| modified == state.modified.0)
    }

    /// Returns whether the checksum is the file's, so that the file need not be read.
    ///
    /// A program can set the time of modification back, but not the time of the last change. If the
    /// latter is the time when the checksum was stored, then nothing has changed since. That time
    /// is stored in whole seconds, and the attribute may be written a second later. Within this
    /// second, the file may have been written again. But then, both times of the file are the same.
    pub fn is_fresh(&self, state: &State) -> bool {
        self.is_current(state) == Some(true)
            && self
                .stored
                .is_some_and(|stored| state.changed.0 <= stored + 1)
            && state.changed > state.modified
    }
}

impl Format {
    /// Reads the attribute. Returns `None` if there is none, or if it contains no checksum.
    pub fn read(self, file: &File) -> Option<Stored> {
        match self {
            Self::Xrootd => get(file, XROOTD)
                .and_then(|record| decode(&record))
                .or_else(|| get(file, LEGACY).and_then(|text| decode_legacy(&text))),
            Self::Storm => get(file, STORM).and_then(|text| {
                let checksum = checksum::hexadecimal(text.trim_ascii())?;
                Some(Stored {
                    checksum,
                    modified: None,
                    stored: None,
                })
            }),
        }
    }

    /// Writes the attribute for the checksum of a file that had the state `before` when it was
    /// opened. The error is the reason why the checksum is not stored.
    pub fn write(self, file: &File, checksum: u32, before: &State) -> Result<(), String> {
        let text = |error: io::Error| format!("checksum not stored: {}", describe(&error));
        let changed = || "checksum not stored: the file changed while it was read".to_owned();
        if State::of(file).map_err(text)? != *before {
            return Err(changed());
        }
        let (name, value) = match self {
            Self::Xrootd => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                let now = now.map_or(0, |now| now.as_secs() as i64);
                (XROOTD, encode(checksum, before.modified.0, now).to_vec())
            }
            Self::Storm => (STORM, format!("{checksum:08x}").into_bytes()),
        };
        rustix::fs::fsetxattr(file, name, &value, XattrFlags::empty())
            .map_err(|errno| text(errno.into()))?;
        // The attribute itself changes the time of the last change, but no other.
        let after = State::of(file).map_err(text)?;
        if (after.size, after.modified) != (before.size, before.modified) {
            rustix::fs::fremovexattr(file, name).map_err(|errno| text(errno.into()))?;
            return Err(changed());
        }
        if self == Self::Xrootd {
            // xrdadler32 removes the old attribute, too.
            let _ = rustix::fs::fremovexattr(file, LEGACY);
        }
        Ok(())
    }
}

fn get(file: &File, name: &str) -> Option<Vec<u8>> {
    // No program stores a longer value. Reading one fails.
    let mut value = [0; 128];
    let length = rustix::fs::fgetxattr(file, name, &mut value).ok()?;
    value.get(..length).map(<[u8]>::to_vec)
}

/// The length of XRootD's record.
const RECORD: usize = 96;
const NAME: &[u8; 16] = b"adler32\0\0\0\0\0\0\0\0\0";

/// Returns XRootD's record: the name of the algorithm, the time of modification, the seconds from
/// then until now, reserved bytes, the length of the checksum, and the checksum in 64 bytes.
/// Numbers are big-endian.
fn encode(checksum: u32, modified: i64, now: i64) -> [u8; RECORD] {
    let since = i32::try_from(now.saturating_sub(modified)).unwrap_or(match now > modified {
        true => i32::MAX,
        false => i32::MIN,
    });
    let mut record = [0; RECORD];
    record[..16].copy_from_slice(NAME);
    record[16..24].copy_from_slice(&modified.to_be_bytes());
    record[24..28].copy_from_slice(&since.to_be_bytes());
    record[31] = 4;
    record[32..36].copy_from_slice(&checksum.to_be_bytes());
    record
}

/// Reads XRootD's record.
fn decode(record: &[u8]) -> Option<Stored> {
    let record: &[u8; RECORD] = record.try_into().ok()?;
    // The name ends with a NUL, and what is after it does not count.
    if !record.starts_with(b"adler32\0") || record[31] != 4 {
        return None;
    }
    let modified = i64::from_be_bytes(record[16..24].try_into().ok()?);
    let since = i32::from_be_bytes(record[24..28].try_into().ok()?);
    Some(Stored {
        checksum: u32::from_be_bytes(record[32..36].try_into().ok()?),
        modified: Some(modified),
        stored: modified.checked_add(since.into()),
    })
}

/// Reads the text of old versions of xrdadler32.
fn decode_legacy(text: &[u8]) -> Option<Stored> {
    let text = std::str::from_utf8(text).ok()?;
    let (checksum, modified) = text.trim_end_matches('\0').split_once(':')?;
    Some(Stored {
        checksum: checksum::hexadecimal(checksum.as_bytes()).filter(|_| checksum.len() == 8)?,
        modified: Some(modified.parse().ok()?),
        stored: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_of_xrootd() {
        let record = encode(0x05c8_01f0, 0x0102_0304_0506, 0x0102_0304_0510);
        let mut expected =
            b"adler32\0\0\0\0\0\0\0\0\0\0\0\x01\x02\x03\x04\x05\x06\0\0\0\x0a".to_vec();
        expected.extend([0, 0, 0, 4, 0x05, 0xc8, 0x01, 0xf0]);
        expected.resize(96, 0);
        assert_eq!(record.to_vec(), expected);
        let stored = Stored {
            checksum: 0x05c8_01f0,
            modified: Some(0x0102_0304_0506),
            stored: Some(0x0102_0304_0510),
        };
        assert_eq!(decode(&record), Some(stored));
        for (index, byte) in [(0, b'm'), (7, b'x'), (31, 16)] {
            let mut other = record;
            other[index] = byte;
            assert_eq!(decode(&other), None);
        }
        assert_eq!(decode(&record[..95]), None);
        assert_eq!(decode(&[&record[..], &[0]].concat()), None);
        // Times that the record cannot contain do not make a sum look fresh.
        let old = decode(&encode(1, i64::MIN, i64::MAX)).unwrap();
        assert!(old.stored.unwrap() < 0);
    }

    #[test]
    fn the_old_text_of_xrdadler32() {
        let stored = |checksum, modified| Stored {
            checksum,
            modified: Some(modified),
            stored: None,
        };
        assert_eq!(
            decode_legacy(b"05c801f0:1700000000"),
            Some(stored(0x05c8_01f0, 1_700_000_000))
        );
        assert_eq!(decode_legacy(b"00000001:-1"), Some(stored(1, -1)));
        for text in [
            &b"05c801f0"[..],
            b"5c801f0:1",
            b"05c801f0:",
            b"05c801fx:1",
            b"",
        ] {
            assert_eq!(decode_legacy(text), None);
        }
    }

    #[test]
    fn only_a_file_that_did_not_change_is_fresh() {
        let stored = Stored {
            checksum: 1,
            modified: Some(100),
            stored: Some(200),
        };
        let state = |modified, changed| State {
            size: 1,
            modified,
            changed,
        };
        for (modified, changed, fresh) in [
            ((100, 5), (200, 7), true),
            ((100, 5), (201, 7), true),
            // Modified, and the time set back: the change is later.
            ((100, 5), (202, 0), false),
            ((101, 5), (201, 7), false),
            ((99, 5), (200, 7), false),
        ] {
            assert_eq!(stored.is_fresh(&state(modified, changed)), fresh);
        }
        // Modified again in the second in which the checksum was stored.
        let at_once = Stored {
            stored: Some(100),
            ..stored
        };
        assert!(at_once.is_fresh(&state((100, 5), (100, 6))));
        assert!(!at_once.is_fresh(&state((100, 6), (100, 6))));
        // Without the time of storing, no checksum is fresh.
        let legacy = Stored {
            stored: None,
            ..stored
        };
        assert!(!legacy.is_fresh(&state((100, 5), (100, 6))));
        assert_eq!(legacy.is_current(&state((100, 5), (100, 6))), Some(true));
    }
}
