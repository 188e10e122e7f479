// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Counts of test cases.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;

/// How many cases passed, failed, and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u32,
    pub failed: u32,
    pub skipped: u32,
}

impl Tally {
    /// One passed case.
    pub const PASSED: Self = Self {
        passed: 1,
        failed: 0,
        skipped: 0,
    };
    /// One failed case.
    pub const FAILED: Self = Self {
        passed: 0,
        failed: 1,
        skipped: 0,
    };
    /// One skipped case.
    pub const SKIPPED: Self = Self {
        passed: 0,
        failed: 0,
        skipped: 1,
    };

    /// Returns the sum of the `test result:` lines in the output of Rust test programs.
    pub fn of_tests(output: &str) -> Self {
        output.lines().filter_map(result_line).sum()
    }
}

fn result_line(line: &str) -> Option<Tally> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |what| {
        let number = counts
            .split("; ")
            .find_map(|part| part.strip_suffix(what))?;
        number.trim().parse().ok()
    };
    Some(Tally {
        passed: count("passed")?,
        failed: count("failed")?,
        skipped: count("ignored")?,
    })
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), Self::add)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_added_up() {
        let output = "running 2 tests\n\
            test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n\
            noise\n\
            test result: FAILED. 10 passed; 3 failed; 1 ignored; 0 measured; finished in 1.2s\n";
        let expected = Tally {
            passed: 12,
            failed: 3,
            skipped: 1,
        };
        assert_eq!(Tally::of_tests(output), expected);
        assert_eq!(expected.to_string(), "12 passed, 3 failed, 1 skipped");
    }

    #[test]
    fn other_lines_are_not_counted() {
        for output in [
            "",
            "test a ... ok\n",
            "test result: ok.\n",
            "test result: ok. 2 passed\n",
        ] {
            assert_eq!(Tally::of_tests(output), Tally::default());
        }
    }
}
