// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Other users and other processes.

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

/// Returns a user id that no test has used, whose register is therefore fresh.
pub fn fresh_user() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(100_000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Sets the real, effective and saved user id of the calling thread alone; -1 keeps one.
pub fn set_thread_uids(real: i64, effective: i64, saved: i64) {
    // The system call, because the C library's function changes all threads of the process.
    // SAFETY: The call takes no pointers.
    let status = unsafe { libc::syscall(libc::SYS_setresuid, real, effective, saved) };
    assert_eq!(status, 0, "setresuid({real}, {effective}, {saved})");
}

/// Runs `work` in a thread whose effective user is `uid`; its real user stays root.
pub fn as_user<T: Send>(uid: u32, work: impl FnOnce() -> T + Send) -> T {
    in_thread(|| {
        set_thread_uids(-1, uid.into(), -1);
        work()
    })
}

/// Runs `work` as a user whose register is fresh.
pub fn as_fresh_user<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    as_user(fresh_user(), work)
}

/// Runs `work` in a thread of its own and waits for it.
pub fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|payload| panic::resume_unwind(payload))
}

/// Runs `work` while another thread does `other` again and again.
pub fn beside<T>(mut other: impl FnMut() + Send, work: impl FnOnce() -> T) -> T {
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    let stopped = AtomicBool::new(false);
    thread::scope(|scope| {
        // Also when `work` panics, or the scope would wait for ever.
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

/// Sends a thread a signal that does no more than to interrupt what it waits for.
pub fn interrupt(thread: Pthread) {
    let handler = SigHandler::Handler(count_interruption);
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: The handler does nothing that it must not.
    unsafe { signal::sigaction(Signal::SIGUSR1, &action) }.expect("sigaction");
    pthread::pthread_kill(thread, Signal::SIGUSR1).expect("pthread_kill");
}

/// Returns how many such signals have come.
pub fn interruptions() -> u32 {
    INTERRUPTIONS.load(Ordering::Relaxed)
}

/// A child process; killed when dropped.
pub struct Child {
    pid: Pid,
    link: Link,
    reaped: bool,
}

/// One end of the line between parent and child.
pub struct Link(UnixStream);

impl Link {
    /// Lets the other side's [`Link::wait`] return.
    pub fn tell(&mut self) {
        self.0.write_all(b".").expect("the other process lives");
    }

    /// Waits until the other side has called [`Link::tell`].
    pub fn wait(&mut self) {
        self.0
            .read_exact(&mut [0])
            .expect("the other process lives");
    }
}

/// Runs `work` in a child process.
pub fn fork(work: impl FnOnce(&mut Link)) -> Child {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    // SAFETY: Tests run one at a time in the main thread and no other thread is alive at a fork
    // but ones that wait, so that the child finds no lock taken.
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
            // SAFETY: The call does not return.
            unsafe { libc::_exit(i32::from(done.is_err())) }
        }
    }
}

impl Child {
    pub fn pid(&self) -> Pid {
        self.pid
    }

    pub fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// Waits for the end of the child, which must have succeeded.
    #[track_caller]
    pub fn join(mut self) {
        let status = self.reap();
        assert_eq!(status, WaitStatus::Exited(self.pid, 0), "the child failed");
    }

    /// Kills the child, which must not have ended.
    #[track_caller]
    pub fn kill(mut self) {
        signal::kill(self.pid, Signal::SIGKILL).expect("kill");
        let status = self.reap();
        let killed = WaitStatus::Signaled(self.pid, Signal::SIGKILL, false);
        assert_eq!(status, killed, "the child ended before it was killed");
    }

    /// Does so, and makes sure that what it does in the kernel has not kept it.
    #[track_caller]
    pub fn kill_promptly(self) {
        let start = Instant::now();
        self.kill();
        let time = start.elapsed();
        assert!(time < Duration::from_secs(5), "dying took {time:?}");
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
