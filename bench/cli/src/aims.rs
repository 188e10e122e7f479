// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the command is to reach beside others.

use anyhow::Result;
use serde_json::json;
use serde_json::Value;

use bench_common::aim;
use bench_common::aim::Aim;
use bench_common::aim::Bound;
use bench_common::contender::Group;
use bench_common::contender::Source;

const DEFAULT: &str = "adler32 sum";
const ONE: &str = "adler32 sum, one thread";
const XROOTD: &[&str] = &["xrdadler32"];
const PYTHON: &[&str] = &["python3, zlib.adler32"];
const LIBDEFLATE: &[&str] = &[
    "libdeflate, read 128 KiB",
    "libdeflate, read 1 MiB",
    "libdeflate, read 2 MiB",
];

const AIMS: [Aim; 8] = {
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
    for aim in &AIMS {
        compared.extend(aim::compare(groups, aim)?);
    }
    compared.push(start(aim::group(groups, Source::Start)?)?);
    Ok(Value::from(compared))
}

fn start(group: &Group) -> Result<Value> {
    let rates = group.rates(DEFAULT)?;
    let [best, median] = [rates.best, rates.median].map(|rate| group.value(rate));
    let met = best < START;
    println!(
        "{}: {DEFAULT}: {best:.2} ms ({median:.2} ms), less than {START} ms: {}",
        group.title,
        aim::verdict(met)
    );
    Ok(json!({
        "source": group.title,
        "ours": DEFAULT,
        "best": best,
        "median": median,
        "aim": format!("less than {START} ms"),
        "met": met,
    }))
}
