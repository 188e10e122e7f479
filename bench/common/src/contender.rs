// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What is measured, and taking its times.

use std::time::Duration;
use std::time::Instant;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use serde_json::json;
use serde_json::Value;

use crate::Rates;

/// A way to do something with a source of data.
pub struct Contender<'a> {
    name: &'static str,
    /// The checksum to find; `None` for what computes none.
    expected: Option<u32>,
    /// Goes through the source once and returns the checksum.
    pass: Box<dyn FnMut() -> Result<u32> + 'a>,
}

impl<'a> Contender<'a> {
    pub fn new(name: &'static str, expected: u32, pass: impl FnMut() -> Result<u32> + 'a) -> Self {
        Self {
            name,
            expected: Some(expected),
            pass: Box::new(pass),
        }
    }

    /// Makes one that computes no checksum.
    pub fn limit(name: &'static str, mut pass: impl FnMut() -> Result<()> + 'a) -> Self {
        Self {
            name,
            expected: None,
            pass: Box::new(move || pass().map(|()| 0)),
        }
    }

    fn time(&mut self) -> Result<Duration> {
        let start = Instant::now();
        let found = (self.pass)().with_context(|| self.name)?;
        let time = start.elapsed();
        if let Some(expected) = self.expected {
            ensure!(
                found == expected,
                "{}: the checksum is {found:08x}, and not {expected:08x}",
                self.name
            );
        }
        Ok(time)
    }
}

/// Where data come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Memory larger than the fast caches.
    Memory,
    /// Memory that the fast caches hold.
    Cached,
    /// A file.
    File,
    /// Many small files.
    Files,
    /// Nothing to speak of: what counts is the call.
    Call,
    /// Nothing to speak of: what counts is the start of a program.
    Start,
}

/// What was found for the contenders of a source.
pub struct Group {
    pub source: Source,
    pub title: String,
    /// Bytes, calls or starts of a pass.
    amount: usize,
    pub figures: Vec<Figure>,
}

/// What was found for a contender.
pub struct Figure {
    pub name: &'static str,
    /// In GB/s, or in 10^9 calls or starts a second.
    pub rates: Rates,
}

impl Group {
    /// Times all contenders by turns, so that whatever else happens on the machine happens to all of
    /// them, and prints a table in which the first is compared with each.
    pub fn measure(
        source: Source,
        title: String,
        amount: usize,
        mut contenders: Vec<Contender>,
        rounds: usize,
    ) -> Result<Self> {
        let count = contenders.len();
        let mut times = vec![Vec::with_capacity(rounds); count];
        let mut order: Vec<_> = (0..count).collect();
        for _ in 0..rounds {
            // Nobody always comes first, or after the same other.
            fastrand::shuffle(&mut order);
            for &turn in &order {
                times[turn].push(contenders[turn].time()?);
            }
        }
        let figures = contenders
            .iter()
            .zip(times)
            .map(|(contender, times)| Figure {
                name: contender.name,
                rates: Rates::new(amount as f64, times),
            })
            .collect();
        let group = Self {
            source,
            title,
            amount,
            figures,
        };
        group.print();
        Ok(group)
    }

    pub fn rates(&self, name: &str) -> Result<Rates> {
        let figure = self.figures.iter().find(|figure| figure.name == name);
        Ok(figure
            .with_context(|| format!("{}: nobody is called {name}", self.title))?
            .rates)
    }

    /// What the figures are given in.
    pub fn unit(&self) -> &'static str {
        match self.source {
            Source::Call => "ns",
            Source::Start => "ms",
            _ => "GB/s",
        }
    }

    /// A rate in this unit.
    pub fn value(&self, rate: f64) -> f64 {
        match self.source {
            Source::Call => 1.0 / rate,
            Source::Start => 1e-6 / rate,
            _ => rate,
        }
    }

    fn print(&self) {
        let first = &self.figures[0];
        println!("\n{}", self.title);
        println!(
            "{:<36}{:>12}{:>14}    {}, times this",
            "",
            format!("best {}", self.unit()),
            format!("median {}", self.unit()),
            first.name
        );
        for figure in &self.figures {
            println!(
                "{:<36}{:>12.2}{:>14.2}{:>12.2}",
                figure.name,
                self.value(figure.rates.best),
                self.value(figure.rates.median),
                first.rates.best / figure.rates.best
            );
        }
    }

    pub fn to_json(&self) -> Value {
        let figure = |figure: &Figure| {
            let Rates { best, median } = figure.rates;
            json!({
                "name": figure.name,
                "best": self.value(best),
                "median": self.value(median),
            })
        };
        json!({
            "source": self.title,
            "amount": self.amount,
            "unit": self.unit(),
            "figures": self.figures.iter().map(figure).collect::<Vec<_>>(),
        })
    }
}
