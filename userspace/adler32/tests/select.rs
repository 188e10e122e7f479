// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The choice of an implementation. A wrong implementation is detected and not used.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use adler32::algorithm;
use adler32::algorithm::select::select;
use adler32::algorithm::select::SelectError;
use adler32::algorithm::select::AUTO;
use adler32::algorithm::verify::definition;
use adler32::algorithm::verify::Mismatch;
use adler32::algorithm::verify::DEFINITION;
use adler32::algorithm::verify::LONG;
use adler32::algorithm::verify::SCRATCH_LEN;
use adler32::algorithm::Implementation;
use adler32::algorithm::Runnable;
use adler32::algorithm::IMPLEMENTATIONS;
use adler32::algorithm::PORTABLE;
use adler32::processor::Processor;
use adler32::Adler32;

/// Checks one implementation against another; this processor must run both.
fn verify(candidate: &Implementation, reference: &Implementation) -> Result<(), Mismatch> {
    let [candidate, reference] =
        [candidate, reference].map(|one| Runnable::<Processor>::new(*one).expect("can run"));
    algorithm::verify::verify(&candidate, &reference, &mut [0; SCRATCH_LEN])
}

/// Returns the right checksum, or another value if `wrong`.
fn spoil(wrong: bool, start: Adler32, data: &[u8]) -> Adler32 {
    let right = definition(start, data);
    if wrong {
        Adler32::from_value(right.value() ^ 0x0001_0000).unwrap_or(Adler32::EMPTY)
    } else {
        right
    }
}

fn wrong_at<const LEN: usize>(start: Adler32, data: &[u8]) -> Adler32 {
    spoil(data.len() == LEN, start, data)
}

fn wrong_beyond<const LEN: usize>(start: Adler32, data: &[u8]) -> Adler32 {
    spoil(data.len() > LEN, start, data)
}

/// Adds up to `CHUNK` bytes before it reduces the sums, even if they overflow.
fn late<const CHUNK: usize>(start: Adler32, data: &[u8]) -> Adler32 {
    data.chunks(CHUNK).fold(start, |sum, chunk| {
        let (mut s1, mut s2) = (sum.value() & 0xffff, sum.value() >> 16);
        for &byte in chunk {
            s1 = s1.wrapping_add(byte.into());
            s2 = s2.wrapping_add(s1);
        }
        Adler32::from_value(((s2 % 65521) << 16) | (s1 % 65521)).unwrap()
    })
}

/// Returns the choice and the names of the implementations that were refused.
fn choose(
    implementations: &[Implementation],
    request: &str,
) -> (Result<&'static str, SelectError>, Vec<&'static str>) {
    let mut refused = Vec::new();
    let choice = select(
        implementations,
        request,
        &mut [0; SCRATCH_LEN],
        |one: &Runnable<Processor>, _| refused.push(one.name()),
    );
    (choice.map(|one| one.name()), refused)
}

#[test]
fn ours_are_right() {
    for one in IMPLEMENTATIONS {
        if Runnable::<Processor>::new(*one).is_some() {
            assert_eq!(verify(one, &DEFINITION), Ok(()), "{}", one.name());
        }
    }
}

#[test]
fn one_wrong_length_is_found() {
    static WRONG: AtomicUsize = AtomicUsize::new(0);
    let boundaries = [256, 512, 1024, 2048, 4096, 5552, 8192, 2 * 5552, 32 * 1024];
    let around = boundaries.into_iter().flat_map(|len| len - 2..=len + 2);
    for len in (0..=160).chain(LONG).chain(around).chain([SCRATCH_LEN]) {
        WRONG.store(len, Relaxed);
        let wrong = Implementation::new("wrong", |start, data| {
            spoil(data.len() == WRONG.load(Relaxed), start, data)
        });
        let mismatch = verify(&wrong, &PORTABLE).expect_err("a wrong implementation passed");
        assert_eq!(mismatch.len, len);
        assert_ne!(mismatch.found, mismatch.expected);
    }
}

#[test]
fn one_wrong_alignment_is_found() {
    static WRONG: AtomicUsize = AtomicUsize::new(0);
    for alignment in 0..64 {
        WRONG.store(alignment, Relaxed);
        let wrong = Implementation::new("wrong", |start, data| {
            let alignment = data.as_ptr() as usize % 64;
            spoil(alignment == WRONG.load(Relaxed), start, data)
        });
        assert!(verify(&wrong, &PORTABLE).is_err(), "{alignment}");
    }
}

#[test]
fn other_mistakes_are_found() {
    let mistakes = [
        // The chunk is one byte too long: the sums overflow only for the largest bytes and start.
        Implementation::new("overflow", late::<5553>),
        Implementation::new("signed bytes", |start, data| {
            spoil(data.iter().any(|&byte| byte > 127), start, data)
        }),
        Implementation::new("start ignored", |_, data| definition(Adler32::EMPTY, data)),
        Implementation::new("long data", wrong_beyond::<11106>),
    ];
    for mistake in mistakes {
        assert!(verify(&mistake, &PORTABLE).is_err(), "{}", mistake.name());
    }
    let right = Implementation::new("not too late", late::<5552>);
    assert_eq!(verify(&right, &PORTABLE), Ok(()));
}

#[test]
fn the_fastest_that_works_is_chosen() {
    let fast = Implementation::new("fast", definition);
    let wrong = Implementation::new("wrong", wrong_at::<5552>);
    let fastest = Implementation::new("fastest", wrong_beyond::<512>);

    assert_eq!(choose(&[PORTABLE, fast], AUTO), (Ok("fast"), vec![]));
    assert_eq!(
        choose(&[PORTABLE, fast, wrong, fastest], AUTO),
        (Ok("fast"), vec!["fastest", "wrong"])
    );
    assert_eq!(
        choose(&[PORTABLE, wrong], AUTO),
        (Ok("portable"), vec!["wrong"])
    );
}

#[test]
fn a_name_asks_for_one() {
    let fast = Implementation::new("fast", definition);
    let wrong = Implementation::new("wrong", wrong_at::<5552>);

    let all = [PORTABLE, fast, wrong];
    assert_eq!(choose(&all, "portable"), (Ok("portable"), vec![]));
    assert_eq!(choose(&all, "fast"), (Ok("fast"), vec![]));
    assert_eq!(choose(&all, "wrong"), (Ok("fast"), vec!["wrong"]));
    for unknown in ["", "fas", "fast ", "FAST", "1"] {
        assert_eq!(choose(&all, unknown), (Err(SelectError::Unknown), vec![]));
    }
}

#[test]
fn nothing_is_chosen_if_the_base_is_wrong() {
    let fast = Implementation::new("fast", definition);
    for base in [
        Implementation::new("wrong", wrong_at::<5>),
        Implementation::new("late", late::<5553>),
    ] {
        for request in [AUTO, base.name(), fast.name()] {
            let (choice, refused) = choose(&[base, fast], request);
            assert!(matches!(choice, Err(SelectError::Broken(_))), "{choice:?}");
            assert!(refused.is_empty());
        }
    }
    assert_eq!(choose(&[], AUTO), (Err(SelectError::Unknown), vec![]));
}
