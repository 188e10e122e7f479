// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How long a thread runs before another one has its turn on the processor.

use std::io;
use std::mem::size_of;
use std::mem::zeroed;

use libc::sched_attr;
use libc::syscall;
use libc::SYS_sched_getattr;
use libc::SYS_sched_setattr;

/// The new slice in nanoseconds. The kernel's own is 1 to 3 ms.
const SLICE: u64 = 25_000_000;

/// Gives longer slices to this thread and to the threads and processes that it starts. Suites that
/// run at the same time have more processes than there are processors. With short slices, each one
/// often finds the processor's caches full of another one's data.
///
/// Kernels before 6.12 accept the request and do nothing.
pub fn lengthen() -> io::Result<()> {
    let mut attributes = get()?;
    // Who chose another policy wants that policy's slices.
    if attributes.sched_policy == libc::SCHED_OTHER as u32 {
        attributes.sched_runtime = SLICE;
        set(&attributes)?;
    }
    Ok(())
}

/// Returns how this thread is scheduled.
fn get() -> io::Result<sched_attr> {
    // SAFETY: All fields are integers, which may be zero.
    let mut attributes: sched_attr = unsafe { zeroed() };
    let size = size_of::<sched_attr>();
    // SAFETY: The kernel writes at most `size` bytes to `attributes`. 0 is this thread.
    let status = unsafe { syscall(SYS_sched_getattr, 0, &mut attributes, size, 0) };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    // The kernel may know more fields than `sched_attr` has.
    attributes.size = size as u32;
    Ok(attributes)
}

fn set(attributes: &sched_attr) -> io::Result<()> {
    // SAFETY: The kernel only reads `attributes`, which says its own size. 0 is this thread.
    match unsafe { syscall(SYS_sched_setattr, 0, attributes, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_inherit_the_slice() {
        let before = get().unwrap().sched_runtime;
        // An older kernel reports no slice.
        let expected = if before == 0 { 0 } else { SLICE };
        lengthen().unwrap();
        let inherited = std::thread::spawn(|| get().unwrap().sched_runtime);
        assert_eq!(inherited.join().unwrap(), expected);
    }
}
