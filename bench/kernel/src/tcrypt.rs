// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The kernel's own benchmark of hashes, the module `tcrypt`, which writes to the kernel log.
//!
//! Only the results with one update are used. With several updates, `tcrypt` reuses one request. In
//! Linux 7.2 and 7.3, `crypto_ahash_final()` sets the length of that request to 0, so that all
//! updates after the first hash contain no data.

use std::process::Command;

use anyhow::bail;
use anyhow::ensure;
use anyhow::Result;
use bench_common::row;
use bench_common::table;
use serde_json::json;
use serde_json::Value;

/// Benchmarks of one hash, for a second each.
const PARAMETERS: [&str; 4] = ["tcrypt", "mode=300", "alg=adler32", "sec=1"];

/// Runs the benchmark, prints its results as a table and returns them.
pub fn measure() -> Result<Value> {
    let run =
        |program, arguments: &[&str]| adler32_tests::output(Command::new(program).args(arguments));
    run("dmesg", &["--clear"])?;
    // Its initialization always fails, so that it need not be unloaded.
    let Err(reason) = run("modprobe", &PARAMETERS) else {
        bail!("tcrypt stays loaded, which it never should");
    };
    let log = run("dmesg", &[])?;
    let results: Vec<_> = log.lines().filter_map(parse).collect();
    ensure!(
        log.contains("testing speed of async adler32 (adler32-rust)") && !results.is_empty(),
        "tcrypt logged no results ({reason:#}):\n{log}"
    );
    println!("{}\n", PARAMETERS.join(" "));
    let mut rows = vec![row!["bytes", "hashes/s", "GB/s"]];
    rows.extend(
        results
            .iter()
            .map(|speed| row![speed.bytes, speed.hashes, format!("{:.3}", speed.gb_s())]),
    );
    table::print(&rows);
    Ok(results.iter().map(Speed::to_json).collect())
}

#[derive(Debug, PartialEq, Eq)]
struct Speed {
    bytes: u32,
    /// Per second.
    hashes: u32,
}

impl Speed {
    fn gb_s(&self) -> f64 {
        f64::from(self.bytes) * f64::from(self.hashes) / 1e9
    }

    fn to_json(&self) -> Value {
        json!({ "bytes": self.bytes, "hashes_per_s": self.hashes, "gb_s": self.gb_s() })
    }
}

/// Parses a line, such as the one in the test below.
fn parse(line: &str) -> Option<Speed> {
    let (_, line) = line.split_once("tcrypt: test")?;
    let (_, line) = line.split_once('(')?;
    let mut numbers = line
        .split(|c: char| !c.is_ascii_digit())
        .filter(|text| !text.is_empty())
        .map(|text| text.parse().ok());
    let mut next = || numbers.next().flatten();
    let (bytes, _per_update, updates, hashes) = (next()?, next()?, next()?, next()?);
    (updates == 1).then_some(Speed { bytes, hashes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read() {
        let line = "[    9.1] tcrypt: test  5 (  256 byte blocks,  256 bytes per update,   \
                    1 updates): 71024 opers/sec,  18182144 bytes/sec";
        let expected = Speed {
            bytes: 256,
            hashes: 71024,
        };
        assert_eq!(parse(line), Some(expected));
    }

    #[test]
    fn other_lines_are_not() {
        for line in [
            "[    9.1] tcrypt: test  5 (  256 byte blocks,   64 bytes per update,   4 updates): \
             71024 opers/sec,  18182144 bytes/sec",
            "[    9.1] tcrypt: test  5 (  256 byte blocks,  256 bytes per update,   1 updates): ",
            "[    9.1] tcrypt: testing speed of async adler32 (adler32-rust)",
            "",
        ] {
            assert_eq!(parse(line), None);
        }
    }
}
