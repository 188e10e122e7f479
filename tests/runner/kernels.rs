// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The table of the kernels in which the module was tested, and its copies in the documentation.

use std::fs;

use anyhow::Context;
use anyhow::Result;

use crate::tally::Tally;
use crate::Row;

/// The documents that contain a copy of the table of `make test`.
const DOCUMENTS: [&str; 2] = ["README.md", "docs/testing.md"];
const HEAD: &str = "| kernel | architecture | page | suites | passed | skipped |\n\
    |---|---|---|---|---|---|\n";

/// Returns the table in Markdown, or nothing if the module was not tested.
pub fn table(rows: &[Row]) -> String {
    let mut kernels: Vec<_> = rows.iter().filter_map(|row| row.kernel.as_ref()).collect();
    kernels.sort();
    kernels.dedup();
    let mut table = String::new();
    for kernel in kernels {
        if table.is_empty() {
            table += HEAD;
        }
        let rows = rows
            .iter()
            .filter(|row| row.kernel.as_ref() == Some(kernel));
        let suites: Vec<_> = rows
            .clone()
            .map(|row| format!("`{}`", row.script))
            .collect();
        let tally: Tally = rows.map(|row| row.tally).sum();
        table += &format!(
            "| {kernel} | {} | {} | {} |\n",
            suites.join(", "),
            tally.passed,
            tally.skipped
        );
    }
    table
}

/// Replaces the copies of the table.
pub fn write_copies(table: &str) -> Result<()> {
    for path in DOCUMENTS {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        let copy = copy(&text).with_context(|| format!("{path} contains no table of kernels"))?;
        let text = text.replacen(copy, table, 1);
        fs::write(path, text).with_context(|| format!("cannot write {path}"))?;
    }
    Ok(())
}

/// Compares the copies with `table`. If `is_complete` is false, kernels are missing in `table`, and
/// the case is skipped.
pub fn check_copies(table: &str, is_complete: bool) -> Result<Tally> {
    let name = "the documents contain this table";
    if !is_complete {
        println!("test {name} ... skipped: not all kernels can be had");
        return Ok(Tally::SKIPPED);
    }
    for path in DOCUMENTS {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        if copy(&text).map(essence) != Some(essence(table)) {
            println!("{path} names other kernels or suites: `test-runner --update` writes it");
            println!("test {name} ... FAILED");
            return Ok(Tally::FAILED);
        }
    }
    println!("test {name} ... ok");
    Ok(Tally::PASSED)
}

/// Returns the table of kernels in `document`.
fn copy(document: &str) -> Option<&str> {
    let table = &document[document.find(HEAD)?..];
    let end = table.find("\n\n").map_or(table.len(), |end| end + 1);
    Some(&table[..end])
}

/// Returns the rows of `table` without what changes while the suites do not: the kernel's last
/// number, which Debian's updates change, and the numbers of cases.
fn essence(table: &str) -> Vec<String> {
    table
        .lines()
        .map(|row| {
            let (row, _skipped) = row.trim_end_matches(" |").rsplit_once(" | ")?;
            let (row, _passed) = row.rsplit_once(" | ")?;
            let (kernel, rest) = row.split_once(" | ")?;
            let end = kernel.find(['-', '+']).unwrap_or(kernel.len());
            let (series, _) = kernel[..end].rsplit_once('.').unwrap_or((kernel, ""));
            Some(format!("{series}{} | {rest}", &kernel[end..]))
        })
        .map(Option::unwrap_or_default)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_in_a_table() {
        let row = |script, kernel: Option<&str>, passed| Row {
            place: 0,
            name: String::new(),
            script,
            kernel: kernel.map(str::to_owned),
            tally: Tally {
                passed,
                failed: 0,
                skipped: 1,
            },
            time: std::time::Duration::ZERO,
        };
        let rows = [
            row("style", None, 30),
            row("vm", Some("7.3 | x86_64 | 4 KiB"), 300),
            row("portable", Some("7.3 | x86_64 | 4 KiB"), 20),
            row("vm", Some("7.2 | aarch64 | 16 KiB"), 100),
        ];
        let expected = "| kernel | architecture | page | suites | passed | skipped |\n\
            |---|---|---|---|---|---|\n\
            | 7.2 | aarch64 | 16 KiB | `vm` | 100 | 1 |\n\
            | 7.3 | x86_64 | 4 KiB | `vm`, `portable` | 320 | 2 |\n";
        assert_eq!(table(&rows), expected);
        assert_eq!(table(&rows[..1]), "");
    }

    #[test]
    fn a_copy_is_found() {
        let table = format!("{HEAD}| 7.3.4 | a | b | c | 1 | 2 |\n");
        let document = format!("# Tests\n\n{table}\nMore.\n\n| a | table |\n");
        assert_eq!(copy(&document), Some(&*table));
        assert_eq!(copy(&table), Some(&*table));
        assert_eq!(copy("| kernel | passed |\n"), None);
    }

    #[test]
    fn a_copy_names_the_same_kernels_and_suites() {
        let essence = |row: &str| essence(&format!("{HEAD}{row}\n"));
        let row = "| 7.3.4+deb13-amd64 | x86_64 | 4 KiB | `vm`, `no-avx2` | 368 | 1 |";
        let newer = "| 7.3.12+deb13-amd64 | x86_64 | 4 KiB | `vm`, `no-avx2` | 9 | 0 |";
        assert_eq!(essence(row), essence(newer));
        for (from, to) in [
            ("7.3.4", "7.4.4"),
            ("amd64", "rt-amd64"),
            ("x86_64", "aarch64"),
            ("4 KiB", "16 KiB"),
            (", `no-avx2`", ""),
        ] {
            let other = row.replace(from, to);
            assert_ne!(essence(row), essence(&other), "{other}");
        }
        assert_ne!(essence(row), essence(&format!("{row}\n{row}")));
    }
}
