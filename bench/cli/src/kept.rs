// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How much of another file stays in the page cache while a long file is summed.

use std::fs::File;
use std::io;
use std::path::Path;

use adler32_tests::memory::page_size;
use adler32_tests::memory::Map;
use anyhow::ensure;
use anyhow::Result;
use bench_common::row;
use bench_common::table;
use bench_common::MIB;
use nix::sys::mman::MapFlags;
use serde_json::json;
use serde_json::Value;

use crate::control_group::ControlGroup;
use crate::programs::checksum;
use crate::programs::on;
use crate::programs::Programs;
use crate::Uncached;

/// How often the sum is repeated that must displace no page.
const ATTEMPTS: usize = 3;

/// Sums a file of `len` bytes while half as much memory may be used, of which a warm file takes a
/// quarter. Prints how many pages of the warm file are still in memory then, and returns that, or
/// null if the memory cannot be limited.
pub fn measure(programs: &Programs, directory: &Path, len: usize) -> Result<Value> {
    let memory = len / 2;
    let limited = || {
        let limit = memory.to_string();
        let old = ("memory.limit_in_bytes", limit.clone());
        ControlGroup::join("memory", old, ("memory.max", limit))
    };
    if let Err(error) = limited() {
        println!("\nWhat stays in memory is skipped: {error:#}");
        return Ok(Value::Null);
    }
    let long = Uncached::new(&directory.join("long"), len)?;
    let warm = Uncached::new(&directory.join("warm"), memory / 4)?;
    let map = Map::new(memory / 4);
    map.map_file(0..memory / 4, &warm.file, 0, MapFlags::MAP_SHARED);
    let all = map.size() / page_size();
    let left = |options: &[&str]| -> Result<usize> {
        long.drop_cache()?;
        warm.drop_cache()?;
        // Memory that a file takes counts for the group that reads it first.
        let _group = limited()?;
        io::copy(&mut File::open(&warm.path)?, &mut io::sink())?;
        let mut command = programs.sum(None);
        command.args(options);
        let found = checksum(&mut on(command, &long.path))?;
        ensure!(found == long.sum, "the checksum is {found:08x}");
        Ok(map.pages_in_memory())
    };
    let plain = left(&[])?;
    let mut direct = left(&["--direct"])?;
    // Programs outside the group may have needed the memory.
    for _ in 1..ATTEMPTS {
        if direct < all {
            direct = direct.max(left(&["--direct"])?);
        }
    }
    println!(
        "\nA warm file of {} MiB, after a file of {} MiB was summed with {} MiB of memory",
        map.size() / MIB,
        len / MIB,
        memory / MIB
    );
    let met = if direct == all { "met" } else { "missed" };
    table::print(&[
        row!["", "pages in memory", "of", "aim", ""],
        row!["adler32 sum", plain, all],
        row!["adler32 sum --direct", direct, all, "all", met],
    ]);
    Ok(json!({ "pages": all, "adler32 sum": plain, "adler32 sum --direct": direct }))
}
