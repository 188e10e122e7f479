// SPDX-License-Identifier: GPL-2.0

//! What `adler32_faulty.c` is for, with the faults that only Rust code is checked for. Where it is,
//! the kernel stops.

use core::hint::black_box;
use kernel::prelude::*;

module! {
    type: Faulty,
    name: "adler32_faulty_rust",
    authors: ["The adler32 authors"],
    description: "Does wrong on request, for the tests of what detects it",
    license: "GPL",
    params: {
        fault: u8 {
            default: 0,
            description: "What to do wrong: 1 overflow, 2 false assertion (default: 0, none)",
        },
    },
}

struct Faulty;

impl kernel::Module for Faulty {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        match module_parameters::fault.value() {
            1 => pr_info!("the sum is {}\n", black_box(u32::MAX) + black_box(1)),
            2 => debug_assert!(black_box(false), "false on purpose"),
            _ => {}
        }
        Ok(Self)
    }
}
