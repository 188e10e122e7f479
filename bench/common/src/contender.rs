// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What is compared, and how its times are taken.

use std::time::Duration;
use std::time::Instant;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;

/// A way to process a workload.
pub struct Contender<'a> {
    name: String,
    /// Whether it computes no checksum.
    limit: bool,
    /// How often a pass processes the workload.
    repeats: u64,
    /// Makes a pass and returns the time that it took.
    pass: Box<dyn FnMut() -> Result<Duration> + 'a>,
}

/// What was measured for a contender.
pub struct Figure {
    pub name: String,
    pub limit: bool,
    pub repeats: u64,
    pub rates: Rates,
}

/// Rates of the best pass and of the median one. If the workload is measured in bytes, they are in
/// GB/s.
#[derive(Clone, Copy)]
pub struct Rates {
    pub best: f64,
    pub median: f64,
}

impl<'a> Contender<'a> {
    /// Makes a contender from a pass that must return the checksum `expected`.
    pub fn new(name: &str, expected: u32, mut pass: impl FnMut() -> Result<u32> + 'a) -> Self {
        let pass = move || {
            let start = Instant::now();
            let found = pass()?;
            let time = start.elapsed();
            ensure!(
                found == expected,
                "the checksum is {found:08x}, not {expected:08x}"
            );
            Ok(time)
        };
        Self {
            name: name.to_owned(),
            limit: false,
            repeats: 1,
            pass: Box::new(pass),
        }
    }

    /// Makes a contender that computes no checksum.
    pub fn limit(name: &str, mut pass: impl FnMut() -> Result<()> + 'a) -> Self {
        let limit = Self::new(name, 0, move || pass().map(|()| 0));
        Self {
            limit: true,
            ..limit
        }
    }

    /// Calls `prepare` before each pass, outside the time that is measured.
    pub fn prepared(self, mut prepare: impl FnMut() -> Result<()> + 'a) -> Self {
        let mut pass = self.pass;
        Self {
            pass: Box::new(move || {
                prepare()?;
                pass()
            }),
            ..self
        }
    }

    /// Makes a contender whose pass processes a short workload so often that it takes about `time`
    /// or longer. `pass` takes the number of repeats and returns the time that they took.
    pub fn repeated(
        name: &str,
        time: Duration,
        mut pass: impl FnMut(u64) -> Result<Duration> + 'a,
    ) -> Result<Self> {
        let mut repeats = 1;
        // These passes bring code and data to the caches, too.
        loop {
            let taken = pass(repeats).with_context(|| name.to_owned())?;
            if taken >= time / 4 {
                let wanted = repeats as f64 * time.as_secs_f64() / taken.as_secs_f64();
                repeats = wanted.ceil() as u64;
                break;
            }
            repeats *= 2;
        }
        let pass = Box::new(move || pass(repeats));
        Ok(Self {
            name: name.to_owned(),
            limit: false,
            repeats,
            pass,
        })
    }
}

/// Times all contenders in turns, so that disturbances affect all of them alike. `amount` is the
/// size of the workload.
pub fn measure(
    amount: usize,
    mut contenders: Vec<Contender>,
    rounds: usize,
) -> Result<Vec<Figure>> {
    let mut times = vec![Vec::with_capacity(rounds); contenders.len()];
    let mut order: Vec<_> = (0..contenders.len()).collect();
    for _ in 0..rounds {
        // No contender always comes first, or always after the same other one.
        fastrand::shuffle(&mut order);
        for &turn in &order {
            let contender = &mut contenders[turn];
            times[turn].push((contender.pass)().with_context(|| contender.name.clone())?);
        }
    }
    let figure = |(contender, mut times): (Contender, Vec<Duration>)| {
        times.sort();
        let amount = amount as f64 * contender.repeats as f64;
        let rate = |time: Duration| amount / time.as_secs_f64() / 1e9;
        Figure {
            name: contender.name,
            limit: contender.limit,
            repeats: contender.repeats,
            rates: Rates {
                best: rate(times[0]),
                median: rate(times[times.len() / 2]),
            },
        }
    };
    Ok(contenders.into_iter().zip(times).map(figure).collect())
}
