// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Tables, and what compares figures.

use serde::Serialize;

use crate::contender::Level;
use crate::contender::Mode;
use crate::contender::Role;
use crate::measure::Figure;

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
                .filter(|peer| {
                    (peer.mode, peer.offset, peer.bytes) == (ours.mode, ours.offset, ours.bytes)
                        && in_class(peer.role, level)
                })
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

fn in_class(role: Role, class: Level) -> bool {
    matches!(role, Role::Peer(level) if level <= class)
}

/// Prints the figures of a mode and an offset, a line for each contender.
pub fn print_table(figures: &[Figure], sizes: &[usize]) {
    print_head("", sizes);
    for line in lines(figures, |figure| &figure.name) {
        print!("{:<22}", line[0].name);
        for figure in &line {
            print!("{:>9.2}", figure.best_gb_s);
        }
        println!();
    }
}

/// Prints the ratios of a mode and an offset, a line for each of ours.
pub fn print_ratios(ratios: &[Ratio], sizes: &[usize]) {
    if ratios.is_empty() {
        return;
    }
    println!();
    print_head("ratio to best peer", sizes);
    for line in lines(ratios, |ratio| &ratio.name) {
        print!("{:<22}", line[0].name);
        for ratio in &line {
            print!("{:>9.2}", ratio.ratio);
        }
        println!();
        print!("{:<22}", "  which is");
        for ratio in &line {
            print!(" {:>8}", short(&ratio.peer));
        }
        println!();
    }
}

fn print_head(title: &str, sizes: &[usize]) {
    print!("{title:<22}");
    for &bytes in sizes {
        print!("{:>9}", size(bytes));
    }
    println!();
}

/// Groups by name, in the order of the first ones.
fn lines<T>(items: &[T], name: impl Fn(&T) -> &str) -> Vec<Vec<&T>> {
    let mut lines: Vec<Vec<&T>> = Vec::new();
    for item in items {
        match lines.iter_mut().find(|line| name(line[0]) == name(item)) {
            Some(line) => line.push(item),
            None => lines.push(vec![item]),
        }
    }
    lines
}

/// Shortens a name to what fits in a column.
fn short(name: &str) -> String {
    let name = name
        .replace("libdeflate", "ldef")
        .replace("zlib", "z")
        .replace("simd-adler32", "simd")
        .replace("general", "gen");
    name.chars().take(8).collect()
}

/// Returns a size as people write it.
pub fn size(bytes: usize) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}
