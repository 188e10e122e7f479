// SPDX-License-Identifier: GPL-2.0

//! Says in the kernel's log which buffers its allocators give, for `docs/learn.md`.

use kernel::alloc::allocator::KVmalloc;
use kernel::alloc::allocator::Kmalloc;
use kernel::alloc::Allocator;
use kernel::alloc::Vec;
use kernel::prelude::*;

module! {
    type: BufferLimits,
    name: "buffer_limits",
    authors: ["The adler32 authors"],
    description: "Says which buffers the kernel's allocators give",
    license: "GPL",
}

const MIB: usize = 1 << 20;

struct BufferLimits;

impl kernel::Module for BufferLimits {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        attempt::<Kmalloc>("kmalloc", 4 * MIB);
        attempt::<Kmalloc>("kmalloc", 4 * MIB + 1);
        attempt::<KVmalloc>("kvmalloc", 4 * MIB + 1);
        Ok(Self)
    }
}

fn attempt<A: Allocator>(name: &str, size: usize) {
    // Without the flag, the kernel also warns of the one that it refuses.
    let buffer = Vec::<u8, A>::with_capacity(size, GFP_KERNEL | __GFP_NOWARN);
    let answer = if buffer.is_ok() { "given" } else { "refused" };
    pr_info!("{name} of {size} bytes: {answer}\n");
}
