// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Finds faults in the guest's kernel log.

/// How many lines before and after the start of a fault are shown.
const BEFORE: usize = 3;
const AFTER: usize = 60;

/// The starts of messages that report a fault.
const STARTS: &[&str] = &[
    "BUG: ",
    "WARNING: ",
    "Oops: ",
    "Kernel panic",
    "kernel BUG at ",
    "KASAN: ",
    "UBSAN: ",
    "general protection fault",
    "watchdog: BUG: ",
    "rust_kernel: panicked at ",
    "------------[ cut here",
    "INFO: trying to register non-static key",
    "Unable to handle kernel",
    "Internal error: ",
];
/// Pairs of texts. Only a message that reports a fault contains both texts of a pair.
const PAIRS: &[(&str, &str)] = &[
    ("rcu:", "detected stall"),
    ("rcu:", "self-detected stall"),
    ("rcu:", "detected expedited stall"),
    ("rcu:", "kthread starved"),
    ("atchdog", "LOCKUP"),
    ("INFO: task ", "blocked for more than"),
    ("kmemleak: ", "new suspected memory leaks"),
];

/// Returns the first fault in `log` with the lines around it, or `None` if there is no fault.
pub fn fault(log: &str) -> Option<String> {
    let lines: Vec<_> = log.lines().collect();
    let at = lines.iter().position(|line| is_fault(message(line)))?;
    Some(lines[at.saturating_sub(BEFORE)..lines.len().min(at + AFTER)].join("\n"))
}

/// Returns the last `count` lines of `log`.
pub fn tail(log: &str, count: usize) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

fn is_fault(message: &str) -> bool {
    STARTS.iter().any(|start| message.starts_with(start))
        || PAIRS
            .iter()
            .any(|(one, other)| message.contains(one) && message.contains(other))
}

/// Returns `line` without its time and caller, such as `[    1.234567][  T123] `.
fn message(mut line: &str) -> &str {
    while let Some(end) = line.strip_prefix('[').and_then(|rest| rest.find(']')) {
        line = line[end + 2..].trim_start();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_found() {
        for line in [
            "[    3.1] BUG: kernel NULL pointer dereference, address: 0000000000000000",
            "[    3.1][  T45] WARNING: CPU: 1 PID: 1 at kernel/x.c:5 f+0x1/0x2",
            "[    3.1] WARNING: kernel/x.c:5 at f+0x1/0x2, CPU#1: insmod/1",
            "[    3.1] WARNING: possible circular locking dependency detected",
            "[    3.1] Oops: general protection fault, probably for non-canonical address: 0000 [#1]",
            "[    3.1] Kernel panic - not syncing: sysrq triggered crash",
            "[    3.1] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [cat:1]",
            "[    3.1] watchdog: Watchdog detected hard LOCKUP on cpu 0",
            "[    3.1] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
            "[    3.1] rcu: INFO: rcu_preempt self-detected stall on CPU",
            "[    3.1] rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-... }",
            "[    3.1] INFO: task cat:12 blocked for more than 120 seconds.",
            "[    3.1] kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
            "[    3.1] UBSAN: array-index-out-of-bounds in x.c:1:2",
            "[    3.1] Internal error: Oops: 0000000096000046 [#1]  SMP",
            "[    3.1] rust_kernel: panicked at src/lib.rs:1:1:",
        ] {
            let log = format!("[    1.0] Linux version 7.2.0\n{line}\n[    4.0] end\n");
            assert_eq!(fault(&log).unwrap(), log.trim_end(), "{line}");
        }
    }

    #[test]
    fn other_lines_are_no_faults() {
        let log = "[    1.0] Linux version 7.2.0\n\
            [    1.0] Spectre V2 : WARNING: Unprivileged eBPF is enabled\n\
            [    1.0] NMI watchdog: Perf NMI watchdog permanently disabled\n\
            [    1.0] rcu: Hierarchical RCU implementation.\n\
            [    1.0] kmemleak: Kernel memory leak detector initialized (mem pool available: 1)\n\
            [    2.0] FAULT_INJECTION: forcing a failure.\n\
            [    2.0] sysfs: cannot create duplicate filename '/devices/virtual/misc/x'\n\
            [    2.0] CPU: 0 UID: 0 PID: 1 Comm: insmod Not tainted 7.2.0\n\
            [    2.0] Call Trace:\n[    2.0]  <TASK>\n[    2.0]  dump_stack_lvl+0x5d/0x80\n\
            [    2.0] x: loading out-of-tree module taints kernel.\n\
            \n[\n[]\n[ 2.0]\n";
        assert_eq!(fault(log), None);
    }

    #[test]
    fn the_tail_is_the_end() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a\n", 5), "a");
    }
}
