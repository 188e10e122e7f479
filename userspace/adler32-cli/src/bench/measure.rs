// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Measurements of methods that sum the same data.

use std::time::Duration;
use std::time::Instant;

use adler32::Error;
use adler32::Sum;
use anyhow::anyhow;
use anyhow::ensure;
use serde_json::json;
use serde_json::Value;

use crate::ways::Summed;
use crate::ways::Ways;

/// The number of bytes that are summed between two readings of the clock, unless the data is
/// longer.
const BATCH: u64 = 4 << 20;

/// Shorter data is summed as often as data of this length, because the calls take most of the time.
pub const SHORTEST: usize = 4096;

/// A way to sum the data.
pub struct Method<'a> {
    name: &'static str,
    /// Sums the data once. Returns the checksum, if it computes one.
    pass: Box<dyn FnMut() -> Result<Option<Summed>, Error> + 'a>,
    /// How the data came in the latest pass.
    ways: Ways,
}

impl<'a> Method<'a> {
    /// Creates a method that calls `pass`.
    pub fn new(
        name: &'static str,
        pass: impl FnMut() -> Result<Option<Summed>, Error> + 'a,
    ) -> Self {
        Self {
            name,
            pass: Box::new(pass),
            ways: Ways::default(),
        }
    }

    /// Sums the data `passes` times. Returns the time of one pass.
    fn time(&mut self, expected: Sum, passes: u32) -> anyhow::Result<Duration> {
        let start = Instant::now();
        for _ in 0..passes {
            let found = match (self.pass)()? {
                None => expected,
                Some(Summed { sum, ways }) => {
                    self.ways = ways;
                    sum
                }
            };
            let text = |sum: Sum| format!("{:08x} of {} bytes", sum.checksum.value(), sum.length);
            ensure!(
                found == expected,
                "wrong: {}, and not {}",
                text(found),
                text(expected)
            );
        }
        Ok(start.elapsed() / passes)
    }
}

/// The results for one workload.
pub struct Measurement {
    /// The name of the workload.
    pub workload: &'static str,
    /// Its checksum.
    pub sum: Sum,
    /// The rates of all methods.
    pub rates: Vec<Rate>,
}

/// The rate of a method in GB/s.
pub struct Rate {
    /// The name of the method.
    pub name: &'static str,
    /// The rate in the best round.
    pub best: f64,
    /// The rate in the median round.
    pub median: f64,
    /// How the data came.
    pub ways: Ways,
}

impl Measurement {
    /// Measures all methods in turn, so that other load on the machine slows all of them.
    pub fn take(
        workload: &'static str,
        sum: Sum,
        mut methods: Vec<Method>,
        rounds: usize,
    ) -> anyhow::Result<Self> {
        let passes = (BATCH / sum.length.max(SHORTEST as u64)).max(1) as u32;
        let mut times = vec![Vec::with_capacity(rounds); methods.len()];
        let mut order: Vec<_> = (0..methods.len()).collect();
        for _ in 0..rounds {
            // No method is always the first, or always follows the same one.
            fastrand::shuffle(&mut order);
            for &turn in &order {
                let method = &mut methods[turn];
                let name = method.name;
                let time = method.time(sum, passes);
                times[turn].push(time.map_err(|error| anyhow!("{name}: {error}"))?);
            }
        }
        let rate = |time: Duration| sum.length as f64 / time.as_secs_f64() / 1e9;
        let rates = methods.iter().zip(times).map(|(method, mut times)| {
            times.sort();
            Rate {
                name: method.name,
                best: rate(times[0]),
                median: rate(times[times.len() / 2]),
                ways: method.ways,
            }
        });
        Ok(Self {
            workload,
            sum,
            rates: rates.collect(),
        })
    }

    /// Returns the results as JSON.
    pub fn to_json(&self) -> Value {
        let rates = self.rates.iter();
        let backends: Vec<_> = rates
            .map(|rate| {
                json!({
                    "name": rate.name,
                    "best": rate.best,
                    "median": rate.median,
                    "ways": rate.ways.json(),
                })
            })
            .collect();
        json!({
            "workload": self.workload,
            "length": self.sum.length,
            "adler32": format!("{:08x}", self.sum.checksum.value()),
            "backends": backends,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use adler32::processor;

    #[test]
    fn a_wrong_checksum_is_an_error() {
        let data = b"Wikipedia";
        let methods = |second| {
            let returns = |sum| {
                let ways = Ways::default();
                move || Ok(Some(Summed { sum, ways }))
            };
            vec![
                Method::new("none", || Ok(None)),
                Method::new("first", returns(processor::sum(data))),
                Method::new("second", returns(processor::sum(second))),
            ]
        };
        let measurement = Measurement::take("memory", processor::sum(data), methods(data), 3);
        assert_eq!(measurement.expect("equal checksums").rates.len(), 3);
        let error = Measurement::take("memory", processor::sum(data), methods(b"abc"), 3).err();
        let text = "second: wrong: 024d0127 of 3 bytes, and not 11e60398 of 9 bytes";
        assert_eq!(error.expect("an error").to_string(), text);
    }
}
