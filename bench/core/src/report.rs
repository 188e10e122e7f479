// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What compares figures, and tables of them.

use serde::Serialize;

use crate::contender::Level;
use crate::contender::Mode;
use crate::contender::Role;
use crate::measure::Figure;

/// Width of the column of names.
const NAMES: usize = 22;

/// One of our implementations beside the best peer of its class, on some data.
#[derive(Clone, Debug, Serialize)]
pub struct Ratio {
    pub name: String,
    pub mode: Mode,
    pub offset: usize,
    pub bytes: usize,
    pub gb_s: f64,
    pub peer: String,
    pub peer_gb_s: f64,
    /// How many times as fast as the peer it is.
    pub ratio: f64,
}

/// Compares each of ours with the peers that use no more of the processor than it does.
pub fn ratios(figures: &[Figure]) -> Vec<Ratio> {
    figures
        .iter()
        .filter_map(|ours| {
            let Role::Ours(level) = ours.role else {
                return None;
            };
            let best = figures
                .iter()
                .filter(|peer| same_data(peer, ours) && in_class(peer.role, level))
                .min_by(|a, b| a.best_ns.total_cmp(&b.best_ns))?;
            Some(Ratio {
                name: ours.name.clone(),
                mode: ours.mode,
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

fn same_data(a: &Figure, b: &Figure) -> bool {
    (a.mode, a.offset, a.bytes) == (b.mode, b.offset, b.bytes)
}

/// Returns whether a contender is a peer that uses no more than a level.
pub fn in_class(role: Role, class: Level) -> bool {
    matches!(role, Role::Peer(level) if level <= class)
}

/// Returns whether a figure is that of the plain read.
pub fn is_read(figure: &Figure) -> bool {
    figure.role == Role::Limit && figure.name.starts_with("read")
}

/// One of our implementations beside what memory allows.
#[derive(Clone, Debug, Serialize)]
pub struct Bound {
    pub name: String,
    pub bytes: usize,
    /// Its rate on aligned data, as a part of that of reading them.
    pub of_read: f64,
    /// Its rate at an odd address, as a part of that on aligned data.
    pub odd_of_aligned: f64,
}

/// Compares each of ours, in independent calls, with the plain read and with itself elsewhere.
pub fn bounds(figures: &[Figure]) -> Vec<Bound> {
    let independent = || figures.iter().filter(|f| f.mode == Mode::Independent);
    independent()
        .filter(|ours| matches!(ours.role, Role::Ours(_)) && ours.offset == 0)
        .filter_map(|ours| {
            let read = independent().find(|figure| same_data(figure, ours) && is_read(figure))?;
            let odd = independent()
                .find(|f| f.name == ours.name && f.bytes == ours.bytes && f.offset != 0)?;
            Some(Bound {
                name: ours.name.clone(),
                bytes: ours.bytes,
                of_read: read.best_ns / ours.best_ns,
                odd_of_aligned: ours.best_ns / odd.best_ns,
            })
        })
        .collect()
}

/// Prints the figures of a mode and an offset.
pub fn print_figures(mode: Mode, offset: usize, figures: &[Figure]) {
    if figures.is_empty() {
        return;
    }
    println!("\n{mode} calls, data {}", place(offset));
    let key = |figure: &'_ Figure| (figure.name.clone(), figure.bytes);
    table(
        "GB/s, best batch",
        figures,
        key,
        &[&|f| format!("{:.2}", f.best_gb_s)],
    );
    let latencies: Vec<_> = figures
        .iter()
        .filter(|f| f.bytes <= 4096)
        .cloned()
        .collect();
    if mode == Mode::Dependent && !latencies.is_empty() {
        println!();
        let cell = |figure: &Figure| format!("{:.1}", figure.best_ns);
        table("ns, best batch", &latencies, key, &[&cell]);
    }
    let ratios = ratios(figures);
    if !ratios.is_empty() {
        println!();
        table(
            "of the best peer",
            &ratios,
            |ratio| (ratio.name.clone(), ratio.bytes),
            &[&|r| format!("{:.2}", r.ratio), &|r| short(&r.peer)],
        );
    }
}

/// Prints how near ours come to the limits.
pub fn print_bounds(bounds: &[Bound]) {
    if bounds.is_empty() {
        return;
    }
    println!("\nIndependent calls: part of the plain read; at an odd address, part of aligned");
    table(
        "",
        bounds,
        |bound| (bound.name.clone(), bound.bytes),
        &[&|b| format!("{:.2}", b.of_read), &|b| {
            format!("{:.2}", b.odd_of_aligned)
        }],
    );
}

/// The groups of sizes in the summary.
const GROUPS: [(&str, usize, usize); 6] = [
    ("16 B", 16, 16),
    ("64 B", 64, 64),
    ("256 B", 256, 256),
    ("1 KiB", 1 << 10, 1 << 10),
    ("4K..1M", 4 << 10, 1 << 20),
    ("64 MiB", 64 << 20, 64 << 20),
];

/// Prints, for each of ours, the worst ratio in each group of sizes and over all.
pub fn print_summary(ratios: &[Ratio]) {
    if ratios.is_empty() {
        return;
    }
    println!("\nTimes as fast as the best peer of the class, at worst");
    print!("{:<NAMES$}{:<23}", "", "");
    for (group, ..) in GROUPS {
        print!("{group:>8}");
    }
    println!("{:>8}", "all");
    let by_name = lines(ratios, |ratio| &ratio.name);
    for line in &by_name {
        let conditions = lines(line.iter().copied(), |ratio| (ratio.mode, ratio.offset));
        for condition in conditions {
            let first = condition[0];
            let place = if first.offset == 0 { "aligned" } else { "odd" };
            print!(
                "{:<NAMES$}{:<13}{place:<10}",
                first.name,
                first.mode.to_string()
            );
            for (_, from, to) in GROUPS {
                let group = |ratio: &&Ratio| (from..=to).contains(&ratio.bytes);
                print!(
                    "{:>8}",
                    cell(worst(condition.iter().copied().filter(group)))
                );
            }
            println!("{:>8}", cell(worst(condition)));
        }
    }
    println!();
    for worst in by_name.into_iter().filter_map(worst) {
        println!(
            "{}: at worst {:.2} times as fast as the best peer of its class: {} calls, {}, data \
             {}, beside {}",
            worst.name,
            worst.ratio,
            worst.mode.to_string().to_lowercase(),
            size(worst.bytes),
            place(worst.offset),
            worst.peer
        );
    }
}

fn worst<'a>(ratios: impl IntoIterator<Item = &'a Ratio>) -> Option<&'a Ratio> {
    let ratios = ratios.into_iter();
    ratios.min_by(|a, b| a.ratio.total_cmp(&b.ratio))
}

fn cell(ratio: Option<&Ratio>) -> String {
    ratio.map_or("-".to_owned(), |ratio| format!("{:.2}", ratio.ratio))
}

fn place(offset: usize) -> &'static str {
    match offset {
        0 => "aligned to 64",
        _ => "at an odd address",
    }
}

/// Prints a table: a column for each size; for each name a line of each kind of cells.
fn table<T>(
    title: &str,
    items: &[T],
    key: impl Fn(&T) -> (String, usize),
    cells: &[&dyn Fn(&T) -> String],
) {
    let lines = lines(items, |item| key(item).0);
    print!("{title:<NAMES$}");
    for item in &lines[0] {
        print!("{:>9}", size(key(item).1));
    }
    println!();
    for line in lines {
        let mut name = key(line[0]).0;
        for cell in cells {
            print!("{name:<NAMES$}");
            name.clear();
            for item in &line {
                print!(" {:>8}", cell(item));
            }
            println!();
        }
    }
}

/// Groups by a key, in the order of the first ones.
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

/// Shortens a name to what fits in a column.
fn short(name: &str) -> String {
    name.replace("libdeflate", "ldef")
        .replace("zlib", "z")
        .replace("simd-adler32", "simd")
        .replace("general", "gen")
        .chars()
        .take(8)
        .collect()
}

/// Returns a size as people write it.
pub fn size(bytes: usize) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}
