// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the device is to reach beside others.

use anyhow::Result;
use serde_json::Value;

use bench_common::aim;
use bench_common::aim::Aim;
use bench_common::aim::Bound;
use bench_common::contender::Group;
use bench_common::contender::Source;

const AIMS: [Aim; 9] = {
    use Bound::*;
    use Source::*;
    const WRITE: &str = "device, write 1 MiB";
    const SENDFILE: &str = "device, sendfile";
    const SEND: &[&str] = &["AF_ALG, send 1 MiB"];
    const PROGRAM: &[&str] = &["program, 1 MiB"];
    [
        (Memory, WRITE, SEND, Speed(1.5)),
        (Memory, WRITE, PROGRAM, Speed(0.8)),
        (Cached, WRITE, SEND, Speed(1.5)),
        (Cached, WRITE, PROGRAM, Speed(0.8)),
        (File, SENDFILE, &["libdeflate, read 128 KiB"], Speed(1.2)),
        (File, SENDFILE, &["libdeflate, read 1 MiB"], Speed(1.2)),
        (File, SENDFILE, &["AF_ALG, sendfile"], Speed(1.5)),
        (
            Call,
            "device, write of 16 bytes",
            &["/dev/null, write of 16 bytes"],
            Time(1.3),
        ),
        (
            Call,
            "device, GET",
            &["/dev/null, unknown ioctl"],
            Time(1.3),
        ),
    ]
};

/// Prints how the device compares, and returns it.
pub fn compare(groups: &[Group]) -> Result<Value> {
    println!("\nTargets, by the best pass and by the median one");
    AIMS.iter()
        .filter_map(|aim| aim::compare(groups, aim).transpose())
        .collect()
}
