// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Chooses what the charts show.

use std::path::Path;

use anyhow::Result;
use bench_common::plot;
use bench_common::plot::Chart;
use bench_common::plot::Series;

use crate::measure::Measurement;
use crate::report;
use crate::routine::Calls;
use crate::routine::Level;
use crate::routine::Role;

/// Draws two charts for each of ours, of independent and of dependent calls on aligned data. They
/// compare it with the peers of its class and with the plain read.
pub fn draw(measurements: &[Measurement], file: &Path) -> Result<()> {
    let ours = report::lines(measurements, |ours| &ours.name)
        .into_iter()
        .map(|line| line[0]);
    let rows: Vec<Vec<_>> = ours
        .filter(|ours| matches!(ours.role, Role::Ours(_)))
        .map(|ours| {
            Calls::ALL
                .map(|calls| chart(measurements, ours, calls))
                .into()
        })
        .collect();
    plot::draw(&rows, file)
}

fn chart(measurements: &[Measurement], ours: &Measurement, calls: Calls) -> Chart {
    let shown = measurements
        .iter()
        .filter(|shown| shown.calls == calls && shown.offset == 0 && is_shown(shown, ours));
    let series = report::lines(shown, |shown| &shown.name)
        .into_iter()
        .map(|line| Series {
            name: line[0].name.clone(),
            limit: line[0].role == Role::Limit,
            points: line
                .iter()
                .map(|point| (point.bytes as f64, point.best_gb_s))
                .collect(),
        });
    Chart {
        title: format!("{}: {calls} calls", ours.name),
        unit: "GB/s",
        series: series.collect(),
    }
}

/// Returns whether the charts of one of ours show a routine.
fn is_shown(shown: &Measurement, ours: &Measurement) -> bool {
    match (shown.role, ours.role) {
        (Role::Ours(_), _) => shown.name == ours.name,
        (Role::Peer(level), Role::Ours(class)) => level == class,
        // General registers come nowhere near the plain read.
        (Role::Limit, Role::Ours(class)) => report::is_read(shown) && class != Level::General,
        _ => false,
    }
}
