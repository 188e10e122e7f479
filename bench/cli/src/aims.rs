// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How fast the command is meant to be.

use bench_common::aim::Aim;
use bench_common::aim::Threshold::Below;
use bench_common::aim::Threshold::Speed;
use bench_common::aim::Threshold::Time;
use bench_common::group::Workload::Cold;
use bench_common::group::Workload::ColdFiles;
use bench_common::group::Workload::File;
use bench_common::group::Workload::Files;
use bench_common::group::Workload::Seeking;
use bench_common::group::Workload::Sparse;
use bench_common::group::Workload::Start;
use bench_common::group::Workload::Throttled;

const DEFAULT: &str = "adler32 sum";
const ONE: &str = "adler32 sum, one thread";
const XROOTD: &[&str] = &["xrdadler32"];
const PYTHON: &[&str] = &["python3, zlib.adler32"];
const LIBDEFLATE: &[&str] = &[
    "libdeflate, read 128 KiB",
    "libdeflate, read 1 MiB",
    "libdeflate, read 2 MiB",
];

const READ_COLD: &[&str] = &[
    "read alone, 2 MiB",
    "direct reads alone, 16 of 2 MiB",
    "dd",
    "dd iflag=direct",
];
const READ: &[&str] = &["read alone, 2 MiB"];

pub const AIMS: [Aim; 16] = [
    (File, DEFAULT, XROOTD, Speed(5.0)),
    (File, DEFAULT, PYTHON, Speed(5.0)),
    (File, ONE, XROOTD, Speed(3.3)),
    (File, ONE, PYTHON, Speed(3.3)),
    (File, ONE, LIBDEFLATE, Speed(1.0)),
    (File, ONE, &["read alone, 2 MiB"], Time(1.15)),
    (File, "adler32 sum, two threads", &[ONE], Speed(1.5)),
    (Cold, DEFAULT, READ_COLD, Speed(0.9)),
    (Cold, DEFAULT, &[ONE], Speed(1.0)),
    (Cold, DEFAULT, XROOTD, Speed(2.0)),
    (Throttled, DEFAULT, READ, Speed(0.95)),
    (Seeking, DEFAULT, READ, Speed(0.95)),
    (Sparse, DEFAULT, &[], Below(50.0)),
    (Files, DEFAULT, &["cksum"], Speed(1.0)),
    (ColdFiles, DEFAULT, &["cksum"], Speed(1.0)),
    (Start, DEFAULT, &[], Below(3.0)),
];
