// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the command is to reach beside others.

use anyhow::Context;
use anyhow::Result;
use serde_json::json;
use serde_json::Value;

use crate::common::Rates;
use crate::contender::Group;
use crate::contender::Source;

/// Where; which contender; which others, of which the fastest counts; how the times compare.
type Target = (Source, &'static str, &'static [&'static str], Bound);

enum Bound {
    /// At least so many times as fast.
    Speed(f64),
    /// At most so many times the time.
    Time(f64),
}

const DEFAULT: &str = "adler32 sum";
const ONE: &str = "adler32 sum, one thread";
const XROOTD: &[&str] = &["xrdadler32"];
const PYTHON: &[&str] = &["python3, zlib.adler32"];
const LIBDEFLATE: &[&str] = &[
    "libdeflate, read 128 KiB",
    "libdeflate, read 1 MiB",
    "libdeflate, read 2 MiB",
];

const TARGETS: [Target; 8] = {
    use Bound::*;
    use Source::*;
    [
        (File, DEFAULT, XROOTD, Speed(5.0)),
        (File, DEFAULT, PYTHON, Speed(5.0)),
        (File, ONE, XROOTD, Speed(3.3)),
        (File, ONE, PYTHON, Speed(3.3)),
        (File, ONE, LIBDEFLATE, Speed(1.0)),
        (File, ONE, &["read alone, 2 MiB"], Time(1.15)),
        (File, "adler32 sum, two threads", &[ONE], Speed(1.5)),
        (Files, DEFAULT, &["cksum"], Speed(1.0)),
    ]
};

/// The longest that a start may take, in ms.
const START: f64 = 3.0;

/// Prints how the command compares, and returns it.
pub fn compare(groups: &[Group]) -> Result<Value> {
    println!("\nTargets, by the best run and by the median one");
    let mut compared = Vec::new();
    for (source, ours, others, bound) in TARGETS {
        let group = find(groups, source)?;
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
            continue;
        };
        let [best, median] = match bound {
            Bound::Speed(_) => [rates.best / best, rates.median / median],
            Bound::Time(_) => [best / rates.best, median / rates.median],
        };
        let (aim, met) = match bound {
            Bound::Speed(least) => (format!("at least {least} times as fast"), best >= least),
            Bound::Time(most) => (format!("at most {most} times the time"), best <= most),
        };
        println!(
            "{}: {ours} / {other}: {best:.2} ({median:.2}), {aim}: {}",
            group.title,
            verdict(met)
        );
        compared.push(json!({
            "source": group.title,
            "ours": ours,
            "other": other,
            "best": best,
            "median": median,
            "target": aim,
            "met": met,
        }));
    }
    compared.push(start(find(groups, Source::Start)?)?);
    Ok(Value::from(compared))
}

fn start(group: &Group) -> Result<Value> {
    let rates = group.rates(DEFAULT)?;
    let [best, median] = [rates.best, rates.median].map(|rate| group.value(rate));
    let met = best < START;
    println!(
        "{}: {DEFAULT}: {best:.2} ms ({median:.2} ms), less than {START} ms: {}",
        group.title,
        verdict(met)
    );
    Ok(json!({
        "source": group.title,
        "ours": DEFAULT,
        "best": best,
        "median": median,
        "target": format!("less than {START} ms"),
        "met": met,
    }))
}

fn find(groups: &[Group], source: Source) -> Result<&Group> {
    groups
        .iter()
        .find(|group| group.source == source)
        .with_context(|| format!("nothing was measured of {source:?}"))
}

fn verdict(met: bool) -> &'static str {
    if met {
        "met"
    } else {
        "missed"
    }
}
