// SPDX-License-Identifier: GPL-2.0

//! What a long loop on behalf of a user needs from the scheduler.
//!
//! C headers: [`include/linux/sched.h`](srctree/include/linux/sched.h),
//! [`include/linux/sched/signal.h`](srctree/include/linux/sched/signal.h)

use kernel::{
    bindings,
    current,
    task::Task, //
};

/// Returns whether the current task is about to be killed, like `fatal_signal_pending(current)`.
pub(crate) fn fatal_signal_pending() -> bool {
    const SIGKILL: kernel::ffi::c_ulong = 1 << (bindings::SIGKILL - 1);

    current!().signal_pending() && {
        let task = Task::current_raw();
        // SAFETY: `task` is the current task, which exists while it runs this code. Other tasks may
        // write to its pending signals at the same time, hence the volatile read of one word. The
        // kernel reads them without a lock as well.
        let pending = unsafe { (&raw const (*task).pending.signal.sig[0]).read_volatile() };
        pending & SIGKILL != 0
    }
}

/// Lets other tasks run if the scheduler wants it, like `cond_resched()`.
pub(crate) fn cond_resched() {
    #[cfg(any(not(CONFIG_PREEMPTION), CONFIG_PREEMPT_DYNAMIC))]
    // SAFETY: The function may be called in any context. Where sleeping is not allowed, it does
    // nothing.
    unsafe {
        bindings::__cond_resched()
    };
}
