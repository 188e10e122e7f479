// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Other users, other processes and other threads.

use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::panic;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use nix::sys::pthread;
use nix::sys::pthread::Pthread;
use nix::sys::signal;
use nix::sys::signal::SaFlags;
use nix::sys::signal::SigAction;
use nix::sys::signal::SigHandler;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;
use nix::sys::wait;
use nix::sys::wait::WaitStatus;
use nix::unistd;
use nix::unistd::ForkResult;
use nix::unistd::Pid;

/// Returns a user ID that no test has used before. The slot of the user is empty.
pub fn fresh_user() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(100_000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Sets the real, effective and saved user ID of the calling thread alone; -1 keeps an ID.
pub fn set_thread_uids(real: i64, effective: i64, saved: i64) {
    // Not setresuid(3), which changes all threads of the process.
    // SAFETY: The call takes no pointers.
    let status = unsafe { libc::syscall(libc::SYS_setresuid, real, effective, saved) };
    assert_eq!(status, 0, "setresuid({real}, {effective}, {saved})");
}

/// Runs `work` in a thread with the effective user `uid`. The real user stays root.
pub fn as_user<T: Send>(uid: u32, work: impl FnOnce() -> T + Send) -> T {
    in_thread(|| {
        set_thread_uids(-1, uid.into(), -1);
        work()
    })
}

/// Runs `work` as a user with an empty slot.
pub fn as_fresh_user<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    as_user(fresh_user(), work)
}

/// Runs `work` in a thread and waits for it.
pub fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|payload| panic::resume_unwind(payload))
}

/// Runs `work` while another thread repeats `other`.
pub fn alongside<T>(mut other: impl FnMut() + Send, work: impl FnOnce() -> T) -> T {
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    let stopped = AtomicBool::new(false);
    thread::scope(|scope| {
        // Dropped even if `work` panics. Otherwise the scope would wait forever.
        let _stop = Stop(&stopped);
        scope.spawn(|| {
            while !stopped.load(Ordering::Relaxed) {
                other();
            }
        });
        work()
    })
}

static INTERRUPTIONS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count_interruption(_: i32) {
    INTERRUPTIONS.fetch_add(1, Ordering::Relaxed);
}

/// Sends a thread a signal, which has no effect but to interrupt a system call that waits.
pub fn interrupt(thread: Pthread) {
    let handler = SigHandler::Handler(count_interruption);
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: The handler only increments an atomic, which is async-signal-safe.
    unsafe { signal::sigaction(Signal::SIGUSR1, &action) }.expect("sigaction");
    pthread::pthread_kill(thread, Signal::SIGUSR1).expect("pthread_kill");
}

/// Returns how many of these signals have been handled.
pub fn interruptions() -> u32 {
    INTERRUPTIONS.load(Ordering::Relaxed)
}

/// A child process, which is killed when this is dropped.
pub struct Child {
    pid: Pid,
    link: Link,
    reaped: bool,
}

/// One end of a connection between parent and child.
pub struct Link(UnixStream);

impl Link {
    /// Lets [`Link::wait`] return in the other process.
    pub fn notify(&mut self) {
        self.0.write_all(b".").expect("the other process runs");
    }

    /// Waits until the other process calls [`Link::notify`].
    pub fn wait(&mut self) {
        self.0.read_exact(&mut [0]).expect("the other process runs");
    }
}

/// Runs `work` in a child process, which fails if `work` panics.
pub fn fork(work: impl FnOnce(&mut Link)) -> Child {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    // SAFETY: Tests run one at a time in the main thread. The other threads, if any, wait in
    // system calls at a fork, so that the child inherits no lock that another thread holds.
    match unsafe { unistd::fork() }.expect("fork") {
        ForkResult::Parent { child } => Child {
            pid: child,
            link: Link(ours),
            reaped: false,
        },
        ForkResult::Child => {
            drop(ours);
            let mut link = Link(theirs);
            let done = panic::catch_unwind(AssertUnwindSafe(|| work(&mut link)));
            // SAFETY: The call takes no pointers, and does not return.
            unsafe { libc::_exit(i32::from(done.is_err())) }
        }
    }
}

impl Child {
    /// Returns the process ID.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Returns the connection to the child.
    pub fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// Waits for the child, which must succeed.
    #[track_caller]
    pub fn join(mut self) {
        let status = self.reap();
        assert_eq!(status, WaitStatus::Exited(self.pid, 0), "the child failed");
    }

    /// Kills the child, which must still run.
    #[track_caller]
    pub fn kill(mut self) {
        signal::kill(self.pid, Signal::SIGKILL).expect("kill");
        let status = self.reap();
        let killed = WaitStatus::Signaled(self.pid, Signal::SIGKILL, false);
        assert_eq!(status, killed, "the child ended before it was killed");
    }

    /// Kills the child, which must not stay in the kernel for long.
    #[track_caller]
    pub fn kill_promptly(self) {
        let start = Instant::now();
        self.kill();
        let time = start.elapsed();
        assert!(
            time < Duration::from_secs(5),
            "the child died after {time:?}"
        );
    }

    fn reap(&mut self) -> WaitStatus {
        self.reaped = true;
        wait::waitpid(self.pid, None).expect("waitpid")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = signal::kill(self.pid, Signal::SIGKILL);
            let _ = wait::waitpid(self.pid, None);
        }
    }
}

/// Polls `condition` until it holds, for at most ten seconds.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "still not: {what}"
        );
        thread::sleep(Duration::from_millis(2));
    }
}
