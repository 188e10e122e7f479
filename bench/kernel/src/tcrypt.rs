// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The kernel's own benchmark of hashes, the module `tcrypt`, which writes to the kernel's log.
//!
//! Only its hashes of one update count. It measures several by one request, over and over, and in that
//! `crypto_ahash_final()` leaves a length of 0 (in Linux 7.2 and 7.3): all updates but the first ones
//! are of no data.

use std::process::Command;

use anyhow::bail;
use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use serde_json::json;
use serde_json::Value;

/// Benchmarks of hashes, by the name of one, for a second each.
const PARAMETERS: [&str; 4] = ["tcrypt", "mode=300", "alg=adler32", "sec=1"];

/// Runs the benchmark, prints what it says as a table and returns it.
pub fn measure() -> Result<Value> {
    let output = Command::new("dmesg").arg("--clear").output()?;
    ensure!(output.status.success(), "dmesg --clear failed");
    // Its initialisation fails, always, so that it need not be unloaded.
    let reason = match bench_common::modprobe(&PARAMETERS) {
        Ok(()) => bail!("tcrypt is loaded, which it never should be"),
        Err(reason) => reason,
    };
    let log = Command::new("dmesg").output().context("cannot run dmesg")?;
    let log = String::from_utf8_lossy(&log.stdout);
    let results: Vec<_> = log.lines().filter_map(parse).collect();
    ensure!(
        log.contains("testing speed of async adler32 (adler32-rust)") && !results.is_empty(),
        "tcrypt has no results ({reason:#}):\n{log}"
    );
    println!("{}\n", PARAMETERS.join(" "));
    println!("{:>8}{:>14}{:>10}", "bytes", "hashes/s", "GB/s");
    for speed in &results {
        let Speed { bytes, hashes } = speed;
        println!("{bytes:>8}{hashes:>14}{:>10.3}", speed.gb_s());
    }
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

/// Reads a line such as
/// `test  0 (   16 byte blocks,   16 bytes per update,   1 updates): 1234 opers/sec, 19744 bytes/sec`.
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
