// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Filters that refuse system calls, as those of containers do.

use std::fs;

use libc::c_long;
use nix::errno::Errno;

/// A system call that a filter refuses.
#[derive(Clone, Copy)]
pub struct Refused {
    pub call: c_long,
    /// The first argument of the calls that are refused. `None` refuses every call.
    pub argument: Option<u32>,
    pub errno: Errno,
}

/// Returns whether the kernel has seccomp and its filters.
pub fn is_supported() -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    status.contains("\nSeccomp:") && status.contains("\nSeccomp_filters:")
}

/// Refuses system calls to the calling thread, and to the programs that it starts, for good.
pub fn refuse(refused: &[Refused]) {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const SKIP_UNLESS_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    // Where the kernel's `struct seccomp_data` holds the number of the call and its first argument.
    const NUMBER: u32 = 0;
    const ARGUMENT: u32 = 16;

    let step = |code, k, jf| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf,
        k,
    };
    let mut filter = Vec::new();
    for Refused {
        call,
        argument,
        errno,
    } in refused
    {
        let answer = step(RETURN, libc::SECCOMP_RET_ERRNO | *errno as u32, 0);
        filter.push(step(LOAD, NUMBER, 0));
        match argument {
            None => filter.extend([step(SKIP_UNLESS_EQUAL, *call as u32, 1), answer]),
            Some(argument) => filter.extend([
                step(SKIP_UNLESS_EQUAL, *call as u32, 3),
                step(LOAD, ARGUMENT, 0),
                step(SKIP_UNLESS_EQUAL, *argument, 1),
                answer,
            ]),
        }
    }
    filter.push(step(RETURN, libc::SECCOMP_RET_ALLOW, 0));
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: `program` points at as many steps as its length states, and the kernel copies them.
    let status = unsafe { libc::syscall(libc::SYS_seccomp, mode, 0, &program) };
    Errno::result(status).expect("seccomp");
}
