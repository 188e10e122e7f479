// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the device is to reach beside others.

use anyhow::Context;
use anyhow::Result;
use serde_json::json;
use serde_json::Value;

use crate::common::Rates;
use crate::contender::Group;
use crate::contender::Source;

enum Bound {
    /// At least so many times as fast.
    Speed(f64),
    /// At most so many times the cost.
    Cost(f64),
}

/// Where, which contender beside which other, and how they are to compare.
type Target = (Source, &'static str, &'static str, Bound);

const TARGETS: [Target; 9] = {
    use Bound::Cost;
    use Bound::Speed;
    use Source::*;
    const WRITE: &str = "device, write 1 MiB";
    const SENDFILE: &str = "device, sendfile";
    [
        (Memory, WRITE, "AF_ALG, send 1 MiB", Speed(1.5)),
        (Memory, WRITE, "program, 1 MiB", Speed(0.8)),
        (Cached, WRITE, "AF_ALG, send 1 MiB", Speed(1.5)),
        (Cached, WRITE, "program, 1 MiB", Speed(0.8)),
        (File, SENDFILE, "libdeflate, read 128 KiB", Speed(1.2)),
        (File, SENDFILE, "libdeflate, read 1 MiB", Speed(1.2)),
        (File, SENDFILE, "AF_ALG, sendfile", Speed(1.5)),
        (
            Call,
            "device, write of 16 bytes",
            "/dev/null, write of 16 bytes",
            Cost(1.3),
        ),
        (Call, "device, GET", "/dev/null, unknown ioctl", Cost(1.3)),
    ]
};

/// Prints how the device compares, and returns it.
pub fn compare(groups: &[Group]) -> Result<Value> {
    println!("\nTargets, by the best pass and by the median one");
    let mut compared = Vec::new();
    for (source, ours, other, bound) in TARGETS {
        let group = groups
            .iter()
            .find(|group| group.source == source)
            .with_context(|| format!("nothing was measured of {source:?}"))?;
        let speed = ratio(group.rates(ours)?, group.rates(other)?);
        let cost = ratio(group.rates(other)?, group.rates(ours)?);
        let ((best, median), what, bound, met) = match bound {
            Bound::Speed(least) => (speed, ">=", least, speed.0 >= least),
            Bound::Cost(most) => (cost, "<=", most, cost.0 <= most),
        };
        let verdict = if met { "met" } else { "missed" };
        println!(
            "{:<38}{ours} / {other}: {best:.2} ({median:.2}), target {what} {bound}: {verdict}",
            group.title
        );
        compared.push(json!({
            "source": group.title,
            "ours": ours,
            "other": other,
            "best": best,
            "median": median,
            "target": format!("{what} {bound}"),
            "met": met,
        }));
    }
    Ok(Value::from(compared))
}

/// How many times as fast one is as the other: the best pass, and the median one.
fn ratio(one: Rates, other: Rates) -> (f64, f64) {
    (one.best / other.best, one.median / other.median)
}
