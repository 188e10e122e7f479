// SPDX-License-Identifier: GPL-2.0

//! What long loops on behalf of a user ask of the scheduler.
//!
//! C headers: [`include/linux/sched.h`](srctree/include/linux/sched.h),
//! [`include/linux/sched/signal.h`](srctree/include/linux/sched/signal.h)

use kernel::bindings;
use kernel::current;
use kernel::task::Task;

/// Returns whether the current task is about to be killed: `fatal_signal_pending(current)`.
pub(crate) fn fatal_signal_pending() -> bool {
    const SIGKILL: kernel::ffi::c_ulong = 1 << (bindings::SIGKILL - 1);

    current!().signal_pending() && {
        let task = Task::current_raw();
        // SAFETY: `task` is the current task. Its pending signals are an array of words that other
        // tasks may write to, hence volatile; the kernel reads them without a lock, too.
        let pending = unsafe { (&raw const (*task).pending.signal.sig[0]).read_volatile() };
        pending & SIGKILL != 0
    }
}

/// Lets other tasks run if it is their turn: `cond_resched()`.
pub(crate) fn cond_resched() {
    #[cfg(any(not(CONFIG_PREEMPTION), CONFIG_PREEMPT_DYNAMIC))]
    // SAFETY: Does nothing where sleeping is not allowed.
    unsafe {
        bindings::__cond_resched()
    };
}
