// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How fast contenders are to be beside others.

use anyhow::Context;
use anyhow::Result;
use serde_json::json;
use serde_json::Value;

use crate::contender::Group;
use crate::contender::Source;
use crate::Rates;

/// Where; which contender; which others, of which the fastest counts; how they are to compare.
pub type Aim = (Source, &'static str, &'static [&'static str], Bound);

pub enum Bound {
    /// At least so many times as fast.
    Speed(f64),
    /// At most so many times the time.
    Time(f64),
}

/// Prints how they compare, and returns it; nothing if there is no other, as all were skipped.
pub fn compare(groups: &[Group], aim: &Aim) -> Result<Option<Value>> {
    let (source, ours, others, bound) = aim;
    let group = group(groups, *source)?;
    let rates = group.rates(ours)?;
    let fastest = |rate: fn(Rates) -> f64| {
        others
            .iter()
            .filter_map(|name| Some((*name, rate(group.rates(name).ok()?))))
            .max_by(|(_, one), (_, other)| one.total_cmp(other))
    };
    let best = fastest(|rates| rates.best);
    let median = fastest(|rates| rates.median);
    let (Some((other, best)), Some((_, median))) = (best, median) else {
        let others = others.join(", ");
        println!("{}: {ours} / {others}: skipped, see above", group.title);
        return Ok(None);
    };
    let [best, median] = match bound {
        Bound::Speed(_) => [rates.best / best, rates.median / median],
        Bound::Time(_) => [best / rates.best, median / rates.median],
    };
    let (aim, met) = match bound {
        Bound::Speed(least) => (format!("at least {least} times as fast"), best >= *least),
        Bound::Time(most) => (format!("at most {most} times the time"), best <= *most),
    };
    println!(
        "{}: {ours} / {other}: {best:.2} ({median:.2}), {aim}: {}",
        group.title,
        verdict(met)
    );
    Ok(Some(json!({
        "source": group.title,
        "ours": ours,
        "other": other,
        "best": best,
        "median": median,
        "aim": aim,
        "met": met,
    })))
}

/// What was measured of a source.
pub fn group(groups: &[Group], source: Source) -> Result<&Group> {
    groups
        .iter()
        .find(|group| group.source == source)
        .with_context(|| format!("nothing was measured of {source:?}"))
}

pub fn verdict(met: bool) -> &'static str {
    if met {
        "met"
    } else {
        "missed"
    }
}
