// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Lengths and alignments.

use std::collections::BTreeSet;
use std::ffi::c_void;
use std::fs::File;
use std::io::Write;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::ptr::NonNull;
use std::slice;

use adler32::algorithm::verify::definition;
use adler32::MODULUS;
use nix::sys::memfd::memfd_create;
use nix::sys::memfd::MFdFlags;
use nix::sys::mman::mmap;
use nix::sys::mman::mmap_anonymous;
use nix::sys::mman::munmap;
use nix::sys::mman::MapFlags;
use nix::sys::mman::ProtFlags;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::common::adler;
use crate::common::theirs;
use crate::common::Others;
use crate::common::WORST_START;
use crate::random;
use crate::Subject;
use crate::Test;

pub const TESTS: &[Test] = &[
    ("all_short_lengths_and_alignments", short),
    ("lengths_around_boundaries", boundaries),
    ("random_long_lengths", long),
    ("lengths_around_32_mib", around_32_mib),
    ("more_than_32_bits_of_length", huge),
];

/// All lengths up to this one are tried, at all alignments within a cache line.
const SHORT: usize = 8 * KIB + 512;
const ALIGNMENTS: usize = 64;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Lengths at which implementations may switch code paths: blocks of vectors, and chunks after
/// which sums are reduced or flushed, or data is prefetched.
const BOUNDARIES: [usize; 17] = [
    64,
    128,
    256,
    512,
    KIB,
    2 * KIB,
    4 * KIB,
    5552,
    8 * KIB,
    16 * KIB,
    32 * KIB,
    64 * KIB,
    128 * KIB,
    256 * KIB,
    512 * KIB,
    MIB,
    4 * MIB,
];

/// Returns `bytes` from the first address that is a multiple of [`ALIGNMENTS`].
fn aligned(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.as_ptr().align_offset(ALIGNMENTS)..]
}

fn short(subject: Subject) {
    const LEN: usize = SHORT + 2 * ALIGNMENTS;
    for (what, bytes) in [("random", random(LEN)), ("all 0xff", vec![0xff; LEN])] {
        for alignment in 0..ALIGNMENTS {
            let data = &aligned(&bytes)[alignment..];
            for start in [1, WORST_START] {
                let mut naive = adler(start);
                let mut others = Others::new(start);
                for len in 0..=SHORT {
                    assert_eq!(
                        subject.update(start, &data[..len]),
                        naive.value(),
                        "{len} bytes, {what}, at alignment {alignment} from {start:#x}"
                    );
                    assert_eq!(others.value(), naive.value());
                    let next = &data[len..=len];
                    naive = definition(naive, next);
                    others.write(next);
                }
            }
        }
    }
}

fn boundaries(subject: Subject) {
    const LEN: usize = 4 * MIB + 3 * ALIGNMENTS;
    let lengths: BTreeSet<_> = BOUNDARIES
        .into_iter()
        .flat_map(|boundary| boundary - 64..=boundary + 64)
        .collect();
    for (what, bytes) in [("random", random(LEN)), ("all 0xff", vec![0xff; LEN])] {
        for alignment in [0, 1, 31, 61] {
            let data = &aligned(&bytes)[alignment..];
            from_the_start(
                subject,
                data,
                &lengths,
                &format!("{what}, at alignment {alignment}"),
            );
        }
    }
}

/// Compares `subject` with the others on the first bytes of `data`, for each of `lengths`. The
/// expected checksum of each length continues the one of the length before.
fn from_the_start(subject: Subject, data: &[u8], lengths: &BTreeSet<usize>, what: &str) {
    let mut others = Others::new(WORST_START);
    let mut done = 0;
    for &len in lengths {
        others.write(&data[done..len]);
        done = len;
        assert_eq!(
            subject.update(WORST_START, &data[..len]),
            others.value(),
            "{len} bytes, {what}"
        );
    }
}

fn long(subject: Subject) {
    const LEN: usize = 40 * MIB;
    let bytes = random(LEN);
    let data = aligned(&bytes);
    let starts = (0..MODULUS, 0..MODULUS).prop_map(|(s1, s2)| s2 << 16 | s1);
    // Data that fits in no cache may be read in another order.
    let lengths = prop_oneof![3 => 0..6 * MIB, 1 => 32 * MIB - 64..LEN - 2 * ALIGNMENTS];
    TestRunner::new(ProptestConfig {
        cases: 80,
        failure_persistence: None,
        ..Default::default()
    })
    .run(&(starts, 0..ALIGNMENTS, lengths), |(start, offset, len)| {
        let data = &data[offset..offset + len];
        prop_assert_eq!(subject.update(start, data), theirs(start, data));
        Ok(())
    })
    .unwrap();
}

fn around_32_mib(subject: Subject) {
    const BOUNDARY: usize = 32 * MIB;
    let bytes = random(BOUNDARY + MIB);
    let lengths = [
        0,
        63,
        64,
        65,
        128,
        1024 + 64,
        64 * KIB,
        512 * KIB + 64,
        512 * KIB + 65,
    ]
    .map(|more| BOUNDARY - 64 + more)
    .into();
    for alignment in [0, 1, 61] {
        let data = &aligned(&bytes)[alignment..];
        from_the_start(
            subject,
            data,
            &lengths,
            &format!("at alignment {alignment}"),
        );
    }
}

fn huge(subject: Subject) {
    const PIECE: usize = 64 * MIB;
    let pieces = Repeated::new(&vec![0xff; PIECE], 4096 / 64 + 1);
    let data = &pieces[1..pieces.len() - MIB];

    let piece = adler(theirs(1, &data[..PIECE]));
    let mut expected = adler(WORST_START);
    let whole = data.chunks_exact(PIECE);
    let rest = whole.remainder();
    for one in whole {
        expected = expected.combine(piece, one.len() as u64);
    }
    expected = expected.combine(adler(theirs(1, rest)), rest.len() as u64);
    assert!(u32::try_from(data.len()).is_err());
    assert_eq!(subject.update(WORST_START, data), expected.value());
}

/// The same pages, mapped many times in a row.
///
/// # Invariants
///
/// `start` is the address of `len` mapped bytes that belong to this object, are readable and do not
/// change.
struct Repeated {
    start: NonNull<c_void>,
    len: usize,
}

impl Repeated {
    /// Maps `piece`, which must be whole pages, `count` times in a row.
    fn new(piece: &[u8], count: usize) -> Self {
        let mut file = File::from(memfd_create("repeated", MFdFlags::empty()).expect("memfd"));
        file.write_all(piece).expect("write to the memfd");
        let size = |len: usize| NonZeroUsize::new(len).expect("some bytes");
        let len = count * piece.len();
        let reserve = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        // SAFETY: The kernel chooses addresses that are free.
        let start = unsafe { mmap_anonymous(None, size(len), ProtFlags::PROT_NONE, reserve) };
        let start = start.expect("mmap");
        for offset in (0..len).step_by(piece.len()) {
            let at = NonZeroUsize::new(start.as_ptr() as usize + offset);
            let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
            // SAFETY: The call above has reserved these addresses.
            unsafe { mmap(at, size(piece.len()), ProtFlags::PROT_READ, flags, &file, 0) }
                .expect("mmap of the memfd");
        }
        // INVARIANT: The loop has mapped all pages. Nothing else can write to the file.
        Self { start, len }
    }
}

impl Deref for Repeated {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: By the type invariant, the bytes are mapped, readable and do not change.
        unsafe { slice::from_raw_parts(self.start.as_ptr().cast(), self.len) }
    }
}

impl Drop for Repeated {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the mapping belongs to this object, which is dropped.
        unsafe { munmap(self.start, self.len) }.expect("munmap");
    }
}
