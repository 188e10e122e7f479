// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Comparisons and tables.

use bench_common::row;
use bench_common::size;
use bench_common::table;
use serde::Serialize;

use crate::measure::Measurement;
use crate::routine::Calls;
use crate::routine::Level;
use crate::routine::Role;

/// One of our implementations compared with the best peer of its class, on some data.
#[derive(Clone, Debug, Serialize)]
pub struct Ratio {
    pub name: String,
    pub calls: Calls,
    pub offset: usize,
    pub bytes: usize,
    pub gb_s: f64,
    pub peer: String,
    pub peer_gb_s: f64,
    /// How many times as fast as the peer our implementation is.
    pub ratio: f64,
}

/// Compares each of ours with the peers that may use as much of the processor or less.
pub fn ratios(measurements: &[Measurement]) -> Vec<Ratio> {
    measurements
        .iter()
        .filter_map(|ours| {
            let Role::Ours(level) = ours.role else {
                return None;
            };
            let best = measurements
                .iter()
                .filter(|peer| same_data(peer, ours) && in_class(peer.role, level))
                .min_by(|a, b| a.best_ns.total_cmp(&b.best_ns))?;
            Some(Ratio {
                name: ours.name.clone(),
                calls: ours.calls,
                offset: ours.offset,
                bytes: ours.bytes,
                gb_s: ours.best_gb_s,
                peer: best.name.clone(),
                peer_gb_s: best.best_gb_s,
                ratio: best.best_ns / ours.best_ns,
            })
        })
        .collect()
}

fn same_data(a: &Measurement, b: &Measurement) -> bool {
    (a.calls, a.offset, a.bytes) == (b.calls, b.offset, b.bytes)
}

/// Returns whether a routine is a peer of a level or of a lower one.
fn in_class(role: Role, class: Level) -> bool {
    matches!(role, Role::Peer(level) if level <= class)
}

/// Returns whether the plain read was measured.
pub fn is_read(measurement: &Measurement) -> bool {
    measurement.role == Role::Limit && measurement.name.starts_with("read")
}

/// One of our implementations compared with the plain read and with itself at an odd address.
#[derive(Clone, Debug, Serialize)]
pub struct Bound {
    pub name: String,
    pub bytes: usize,
    /// Its rate on aligned data, as a fraction of the rate of the plain read.
    pub of_read: f64,
    /// Its rate at an odd address, as a fraction of its rate on aligned data.
    pub odd_of_aligned: f64,
}

/// Compares each of ours with the limits, in independent calls.
pub fn bounds(measurements: &[Measurement]) -> Vec<Bound> {
    let independent = || {
        let all = measurements.iter();
        all.filter(|any| any.calls == Calls::Independent)
    };
    independent()
        .filter(|ours| matches!(ours.role, Role::Ours(_)) && ours.offset == 0)
        .filter_map(|ours| {
            let read = independent().find(|any| same_data(any, ours) && is_read(any))?;
            let odd = independent()
                .find(|any| any.name == ours.name && any.bytes == ours.bytes && any.offset != 0)?;
            Some(Bound {
                name: ours.name.clone(),
                bytes: ours.bytes,
                of_read: read.best_ns / ours.best_ns,
                odd_of_aligned: ours.best_ns / odd.best_ns,
            })
        })
        .collect()
}

/// Prints what was measured with the same kind of calls at the same offset.
pub fn print_measurements(calls: Calls, offset: usize, measurements: &[Measurement]) {
    if measurements.is_empty() {
        return;
    }
    println!("\n{calls} calls, data {}", place(offset));
    let key = |measurement: &Measurement| (measurement.name.clone(), measurement.bytes);
    let rate = |measurement: &Measurement| format!("{:.2}", measurement.best_gb_s);
    print_by_size("GB/s, best batch", measurements, key, &[&rate]);
    let is_short = |measurement: &&Measurement| measurement.bytes <= 4096;
    let short: Vec<_> = measurements.iter().filter(is_short).cloned().collect();
    if calls == Calls::Dependent && !short.is_empty() {
        println!();
        let time = |measurement: &Measurement| format!("{:.1}", measurement.best_ns);
        print_by_size("ns, best batch", &short, key, &[&time]);
    }
    let ratios = ratios(measurements);
    if !ratios.is_empty() {
        println!();
        let key = |ratio: &Ratio| (ratio.name.clone(), ratio.bytes);
        let cells: [&dyn Fn(&Ratio) -> String; 2] =
            [&|ratio| format!("{:.2}", ratio.ratio), &|ratio| {
                ratio.peer.clone()
            }];
        print_by_size("times the best peer", &ratios, key, &cells);
    }
}

/// Prints how close ours come to the limits.
pub fn print_bounds(bounds: &[Bound]) {
    if bounds.is_empty() {
        return;
    }
    println!(
        "\nIndependent calls: fraction of the plain read; at an odd address, fraction of aligned"
    );
    let key = |bound: &Bound| (bound.name.clone(), bound.bytes);
    let cells: [&dyn Fn(&Bound) -> String; 2] =
        [&|bound| format!("{:.2}", bound.of_read), &|bound| {
            format!("{:.2}", bound.odd_of_aligned)
        }];
    print_by_size("", bounds, key, &cells);
}

/// The columns of the summary: ranges of lengths.
const RANGES: [(&str, usize, usize); 7] = [
    ("16 B", 16, 16),
    ("64 B", 64, 64),
    ("256 B", 256, 256),
    ("1 KiB", 1 << 10, 1 << 10),
    ("4K..1M", 4 << 10, 1 << 20),
    ("64 MiB", 64 << 20, 64 << 20),
    ("all", 0, usize::MAX),
];

/// Prints, for each of ours, the lowest ratio in each range of lengths.
pub fn print_summary(ratios: &[Ratio]) {
    if ratios.is_empty() {
        return;
    }
    println!("\nTimes as fast as the best peer of the class, at worst");
    let mut rows = vec![row!["", "", ""]];
    rows[0].extend(RANGES.map(|(range, ..)| range.to_owned()));
    let by_name = lines(ratios, |ratio| &ratio.name);
    for line in &by_name {
        for condition in lines(line.iter().copied(), |ratio| (ratio.calls, ratio.offset)) {
            let first = condition[0];
            let place = if first.offset == 0 { "aligned" } else { "odd" };
            let mut row = row![first.name, first.calls, place];
            row.extend(RANGES.map(|(_, from, to)| {
                let range = |ratio: &&Ratio| (from..=to).contains(&ratio.bytes);
                let worst = worst(condition.iter().copied().filter(range));
                worst.map_or("-".to_owned(), |worst| format!("{:.2}", worst.ratio))
            }));
            rows.push(row);
        }
    }
    table::print(&rows);
    println!();
    for worst in by_name.into_iter().filter_map(worst) {
        println!(
            "{}: at worst {:.2} times as fast as {}, the best peer of its class ({} calls, {}, \
             data {})",
            worst.name,
            worst.ratio,
            worst.peer,
            worst.calls.to_string().to_lowercase(),
            size(worst.bytes),
            place(worst.offset)
        );
    }
}

fn worst<'a>(ratios: impl IntoIterator<Item = &'a Ratio>) -> Option<&'a Ratio> {
    let ratios = ratios.into_iter();
    ratios.min_by(|a, b| a.ratio.total_cmp(&b.ratio))
}

fn place(offset: usize) -> &'static str {
    match offset {
        0 => "aligned to 4096",
        _ => "at an odd address",
    }
}

/// Prints a table with a column for each size and, for each name, a line for each kind of cells.
fn print_by_size<T>(
    title: &str,
    items: &[T],
    key: impl Fn(&T) -> (String, usize),
    cells: &[&dyn Fn(&T) -> String],
) {
    let lines = lines(items, |item| key(item).0);
    let mut rows = vec![row![title]];
    rows[0].extend(lines[0].iter().map(|item| size(key(item).1)));
    for line in lines {
        let mut name = key(line[0]).0;
        for cell in cells {
            let mut row = vec![std::mem::take(&mut name)];
            row.extend(line.iter().map(|item| cell(item)));
            rows.push(row);
        }
    }
    table::print(&rows);
}

/// Groups items by a key, in the order in which the keys first appear.
pub fn lines<'a, T, K: PartialEq>(
    items: impl IntoIterator<Item = &'a T>,
    key: impl Fn(&'a T) -> K,
) -> Vec<Vec<&'a T>> {
    let mut lines: Vec<Vec<&T>> = Vec::new();
    for item in items {
        match lines.iter_mut().find(|line| key(line[0]) == key(item)) {
            Some(line) => line.push(item),
            None => lines.push(vec![item]),
        }
    }
    lines
}
