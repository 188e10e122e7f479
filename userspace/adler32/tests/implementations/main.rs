// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Compares each implementation with others. There is a case for each implementation and theme,
//! which is skipped if the processor cannot run the implementation.

#[path = "../common/mod.rs"]
mod common;
mod heap;
mod lengths;
mod pages;
mod splits;

use std::process::ExitCode;

use adler32::algorithm::Implementation;
use adler32::algorithm::Runnable;
use adler32::algorithm::IMPLEMENTATIONS;
use adler32::processor::Processor;
use common::adler;
use libtest_mimic::Arguments;
use libtest_mimic::Completion;
use libtest_mimic::Trial;

/// A test of one implementation, by name.
type Test = (&'static str, fn(Subject));

/// The implementation under test.
#[derive(Clone, Copy)]
struct Subject(Runnable<Processor>);

impl Subject {
    fn update(self, start: u32, data: &[u8]) -> u32 {
        self.0.update(adler(start), data).value()
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One test at a time, so that the name of the test is printed before a fault ends the program.
    arguments.test_threads = Some(1);
    let tests = [pages::TESTS, lengths::TESTS, heap::TESTS, splits::TESTS].concat();
    let trials = IMPLEMENTATIONS
        .iter()
        .flat_map(|one| tests.iter().map(|test| trial(*one, *test)));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn trial(implementation: Implementation, (name, test): Test) -> Trial {
    let name = format!("{}::{name}", implementation.name());
    Trial::ignorable_test(name, move || {
        Ok(match Runnable::new(implementation) {
            Some(runnable) => {
                test(Subject(runnable));
                Completion::Completed
            }
            None => Completion::ignored_with("this processor cannot run it"),
        })
    })
}

/// Returns bytes that look random and are the same each time: splitmix64 (Steele, Lea and Flood,
/// 2014).
fn random(len: usize) -> Vec<u8> {
    let words = (1..).map(|i: u64| {
        let z = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    });
    words.flat_map(u64::to_le_bytes).take(len).collect()
}
