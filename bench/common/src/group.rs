// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The figures of all contenders for a workload.

use anyhow::Context;
use anyhow::Result;
use serde_json::json;
use serde_json::Value;

use crate::contender;
use crate::contender::Contender;
use crate::contender::Figure;
use crate::contender::Rates;
use crate::plot::Chart;
use crate::plot::Series;
use crate::row;
use crate::table;

/// What the contenders process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Memory larger than the fast caches.
    Memory,
    /// Memory that fits in the fast caches.
    Cached,
    /// A page of memory.
    Page,
    /// A file.
    File,
    /// A file that is not in the page cache.
    Cold,
    /// A file on a disk with a limited rate.
    Throttled,
    /// A file on a disk with a limited number of requests in a second.
    Seeking,
    /// A file that is mostly a hole.
    Sparse,
    /// Many small files.
    Files,
    /// Many small files that are not in the page cache.
    ColdFiles,
    /// Little or no data: the call itself takes the time.
    Call,
    /// Little or no data: starting a program takes the time.
    Start,
}

/// The figures of all contenders for a workload.
pub struct Group {
    pub workload: Workload,
    pub title: String,
    /// Bytes, calls or starts.
    amount: usize,
    rounds: usize,
    figures: Vec<Figure>,
}

impl Group {
    /// Measures all contenders and prints a table, which compares the first with each.
    pub fn measure(
        workload: Workload,
        title: String,
        amount: usize,
        contenders: Vec<Contender>,
        rounds: usize,
    ) -> Result<Self> {
        let figures = contender::measure(amount, contenders, rounds)?;
        let group = Self {
            workload,
            title,
            amount,
            rounds,
            figures,
        };
        group.print();
        Ok(group)
    }

    /// Returns the rates of a contender.
    pub fn rates(&self, name: &str) -> Result<Rates> {
        let figure = self.figures.iter().find(|figure| figure.name == name);
        Ok(figure
            .with_context(|| format!("{}: no contender is called {name}", self.title))?
            .rates)
    }

    /// Returns whether the disk takes the time. Its speed varies, and the best pass is chance.
    pub fn waits_for_disk(&self) -> bool {
        use Workload::*;
        matches!(self.workload, Cold | Throttled | Seeking | ColdFiles)
    }

    /// Returns the unit of the figures.
    pub fn unit(&self) -> &'static str {
        match self.workload {
            Workload::Call => "ns",
            Workload::Sparse | Workload::Start => "ms",
            _ => "GB/s",
        }
    }

    /// Converts a rate to this unit.
    pub fn value(&self, rate: f64) -> f64 {
        match self.workload {
            Workload::Call => 1.0 / rate,
            Workload::Sparse | Workload::Start => 1e-6 / rate,
            _ => rate,
        }
    }

    fn print(&self) {
        let (first, unit) = (&self.figures[0], self.unit());
        println!("\n{}", self.title);
        let ratio = format!("{}, times this", first.name);
        let mut rows = vec![row![
            "",
            format!("best {unit}"),
            format!("median {unit}"),
            ratio
        ]];
        rows.extend(self.figures.iter().map(|Figure { name, rates, .. }| {
            let cells = [
                self.value(rates.best),
                self.value(rates.median),
                first.rates.best / rates.best,
            ];
            let cells = cells.map(|cell| format!("{cell:.2}"));
            [vec![name.clone()], cells.to_vec()].concat()
        }));
        table::print(&rows);
    }

    /// Returns all figures.
    pub fn to_json(&self) -> Value {
        let figure = |figure: &Figure| {
            json!({
                "name": figure.name,
                "repeats": figure.repeats,
                "best": self.value(figure.rates.best),
                "median": self.value(figure.rates.median),
            })
        };
        json!({
            "workload": self.title,
            "amount": self.amount,
            "unit": self.unit(),
            "rounds": self.rounds,
            "figures": self.figures.iter().map(figure).collect::<Vec<_>>(),
        })
    }

    /// Returns a chart of the best figures.
    pub fn chart(&self, kernel: &str) -> Chart {
        let series = |figure: &Figure| Series {
            name: figure.name.clone(),
            limit: figure.limit,
            points: vec![(0.0, self.value(figure.rates.best))],
        };
        Chart {
            title: format!("{}, kernel {kernel}", self.title),
            unit: self.unit(),
            series: self.figures.iter().map(series).collect(),
        }
    }
}
