// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Tables with bars.

use console::Term;
use indicatif::HumanBytes;

use super::measure::Measurement;
use super::measure::Rate;
use crate::locale;

/// The widths of the columns before the bar.
pub const LABEL: usize = 19;
const FIGURE: usize = 8;

/// Draws tables.
pub struct Picture {
    columns: usize,
    /// Whether bars consist of block characters, the last of which can be narrower.
    blocks: bool,
}

impl Picture {
    /// Returns a picture as wide as the terminal, or 80 columns wide if the output is no terminal.
    pub fn of_terminal() -> Self {
        let size = Term::stdout().size_checked();
        Self {
            columns: size.map_or(80, |(_, columns)| columns.into()),
            blocks: locale::is_utf8(),
        }
    }

    /// Returns a table with a bar in each row. The lengths of the bars are proportional to the
    /// rates.
    pub fn draw(&self, measurement: &Measurement) -> String {
        let length = HumanBytes(measurement.sum.length);
        let title = format!("{}, {length}", measurement.workload);
        let mut text = format!(
            "\n{title:<LABEL$}{:>FIGURE$}{:>FIGURE$}  GB/s\n",
            "best", "median"
        );
        let best = measurement.rates.iter().map(|rate| rate.best);
        let longest = best.fold(0.0, f64::max);
        for Rate {
            name, best, median, ..
        } in &measurement.rates
        {
            let bar = self.bar(best / longest);
            let row = format!("{name:<LABEL$}{best:>FIGURE$.2}{median:>FIGURE$.2}  {bar}");
            text += row.trim_end();
            text.push('\n');
        }
        for Rate { name, ways, .. } in &measurement.rates {
            if !ways.is_empty() {
                text += &format!("{name:<LABEL$}{}\n", ways.text());
            }
        }
        text
    }

    /// Returns a bar whose length is `part` of the longest one.
    fn bar(&self, part: f64) -> String {
        const NARROWER: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
        let longest = self.columns.saturating_sub(LABEL + 2 * FIGURE + 2).max(1) as f64;
        if self.blocks {
            let eighths = (part * longest * 8.0).round() as usize;
            "█".repeat(eighths / 8) + NARROWER[eighths % 8]
        } else {
            "#".repeat((part * longest).round() as usize)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_in_proportion() {
        let mut picture = Picture {
            columns: LABEL + 2 * FIGURE + 2 + 4,
            blocks: true,
        };
        for (part, blocks, hashes) in [
            (1.0, "████", "####"),
            (0.5, "██", "##"),
            (0.4, "█▋", "##"),
            (0.0, "", ""),
        ] {
            picture.blocks = true;
            assert_eq!(picture.bar(part), blocks);
            picture.blocks = false;
            assert_eq!(picture.bar(part), hashes);
        }
    }
}
