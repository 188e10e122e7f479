// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How fast contenders are meant to be.

use anyhow::Result;
use serde_json::json;
use serde_json::Value;

use crate::contender::Rates;
use crate::group::Group;
use crate::group::Workload;
use crate::row;
use crate::table;
use Threshold::Below;
use Threshold::Open;
use Threshold::Speed;
use Threshold::Time;

/// A workload, a contender, the other contenders, of which the fastest counts, and the threshold
/// for the comparison.
pub type Aim = (Workload, &'static str, &'static [&'static str], Threshold);

/// What a comparison is meant to show.
pub enum Threshold {
    /// At least so many times as fast as the other.
    Speed(f64),
    /// At most so many times the time of the other.
    Time(f64),
    /// Less than this, in the unit of the workload; there is no other.
    Below(f64),
    /// How many times as fast as the other it is, without an aim.
    Open,
}

/// Compares the contenders. The best passes decide whether an aim is met, or the median ones if the
/// disk takes the time. Prints a table and returns the comparisons. Skips what was not measured,
/// and comparisons of which all others were skipped.
pub fn compare(groups: &[Group], aims: &[Aim]) -> Result<Vec<Value>> {
    let mut rows = vec![row!["Aims", "", "best", "median", "aim", ""]];
    let mut comparisons = Vec::new();
    for (workload, ours, others, threshold) in aims {
        let Some(group) = groups.iter().find(|group| group.workload == *workload) else {
            rows.push(row![format!("{workload:?}"), ours, "skipped"]);
            continue;
        };
        let Ok(rates) = group.rates(ours) else {
            rows.push(row![group.title, ours, "skipped"]);
            continue;
        };
        let fastest = |rate: fn(Rates) -> f64| {
            let rates = others
                .iter()
                .filter_map(|name| Some((*name, rate(group.rates(name).ok()?))));
            rates.max_by(|(_, one), (_, other)| one.total_cmp(other))
        };
        let (other_best, other_median) =
            (fastest(|rates| rates.best), fastest(|rates| rates.median));
        let [best, median] = match (threshold, other_best, other_median) {
            (Below(_), ..) => [rates.best, rates.median].map(|rate| group.value(rate)),
            (Time(_), Some((_, best)), Some((_, median))) => {
                [best / rates.best, median / rates.median]
            }
            (_, Some((_, best)), Some((_, median))) => [rates.best / best, rates.median / median],
            _ => {
                rows.push(row![
                    group.title,
                    format!("{ours} / {}", others.join(", ")),
                    "skipped"
                ]);
                continue;
            }
        };
        let decisive = match group.waits_for_disk() {
            true => median,
            false => best,
        };
        let (aim, met) = match threshold {
            Speed(least) => (
                format!("at least {least} times as fast"),
                Some(decisive >= *least),
            ),
            Time(most) => (
                format!("at most {most} times the time"),
                Some(decisive <= *most),
            ),
            Below(limit) => (
                format!("less than {limit} {}", group.unit()),
                Some(decisive < *limit),
            ),
            Open => ("none".to_owned(), None),
        };
        let other = other_best.map(|(name, _)| name);
        rows.push(row![
            group.title,
            other.map_or(ours.to_string(), |other| format!("{ours} / {other}")),
            format!("{best:.2}"),
            format!("{median:.2}"),
            aim,
            met.map_or("", |met| if met { "met" } else { "missed" }),
        ]);
        comparisons.push(json!({
            "workload": group.title,
            "ours": ours,
            "other": other,
            "best": best,
            "median": median,
            "aim": aim,
            "met": met,
        }));
    }
    println!();
    table::print(&rows);
    Ok(comparisons)
}
