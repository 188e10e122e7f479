// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How fast the device is meant to be.

use bench_common::aim::Aim;
use bench_common::aim::Threshold::Speed;
use bench_common::aim::Threshold::Time;
use bench_common::group::Workload::Cached;
use bench_common::group::Workload::Call;
use bench_common::group::Workload::File;
use bench_common::group::Workload::Memory;

const WRITE: &str = "device, write 1 MiB";
const SENDFILE: &str = "device, sendfile";
const SEND: &[&str] = &["AF_ALG, send 1 MiB"];
const PROGRAM: &[&str] = &["program, 1 MiB"];
const NULL_WRITE: &[&str] = &["/dev/null, write of 16 bytes"];
const NULL_IOCTL: &[&str] = &["/dev/null, unknown ioctl"];

const LIBRARY: &str = "library, device, one thread";

pub const AIMS: [Aim; 11] = [
    (Memory, WRITE, SEND, Speed(1.5)),
    (Memory, WRITE, PROGRAM, Speed(0.8)),
    (Cached, WRITE, SEND, Speed(1.5)),
    (Cached, WRITE, PROGRAM, Speed(0.8)),
    (File, SENDFILE, &["libdeflate, read 128 KiB"], Speed(1.2)),
    (File, SENDFILE, &["libdeflate, read 1 MiB"], Speed(1.2)),
    (File, SENDFILE, &["AF_ALG, sendfile"], Speed(1.5)),
    (File, LIBRARY, &["library, cpu, one thread"], Speed(1.4)),
    (File, "library, device, two threads", &[LIBRARY], Speed(1.6)),
    (Call, "device, write of 16 bytes", NULL_WRITE, Time(1.3)),
    (Call, "device, GET", NULL_IOCTL, Time(1.3)),
];
