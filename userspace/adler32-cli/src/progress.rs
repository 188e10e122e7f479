// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The bar that shows how long work goes on.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::io::IsTerminal;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::Sender;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use adler32::file;
use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressStyle;

/// How long work takes before there is a bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often the bar moves.
const PERIOD: Duration = Duration::from_millis(100);

/// A bar while work goes on, which ends when this is dropped.
pub struct Progress {
    bar: ProgressBar,
    working: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Waits, in the background, for the time when a bar is due. There is none if the standard error
    /// is not a terminal. `names` are the files to sum, if they are known.
    pub fn start(names: Option<&[OsString]>) -> Option<Self> {
        if !io::stderr().is_terminal() {
            return None;
        }
        let names = names.map(<[OsString]>::to_vec);
        let bar = ProgressBar::hidden();
        let (working, work) = mpsc::channel();
        let shown = bar.clone();
        let thread = thread::Builder::new().spawn(move || {
            let goes_on = |period| work.recv_timeout(period) == Err(RecvTimeoutError::Timeout);
            if goes_on(PATIENCE) {
                show(&shown, names.as_deref().and_then(total));
                while goes_on(PERIOD) {
                    shown.set_position(file::bytes_summed());
                }
                shown.finish_and_clear();
            }
        });
        Some(Self {
            bar,
            working: Some(working),
            thread: thread.ok(),
        })
    }

    /// Prints where the bar is, which moves on.
    pub fn suspend<R>(&self, print: impl FnOnce() -> R) -> R {
        self.bar.suspend(print)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.working.take());
        if let Some(thread) = self.thread.take() {
            // What became of the bar changes no checksum.
            let _ = thread.join();
        }
    }
}

/// Returns how many bytes regular files have together, if all are such.
fn total(names: &[OsString]) -> Option<u64> {
    names.iter().try_fold(0, |total, name| {
        let metadata = fs::metadata(name).ok()?;
        metadata.is_file().then(|| total + metadata.len())
    })
}

fn show(bar: &ProgressBar, total: Option<u64>) {
    let style = match total {
        Some(total) => {
            bar.set_length(total);
            "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left"
        }
        None => "{spinner} {bytes}, {bytes_per_sec}",
    };
    bar.set_style(ProgressStyle::with_template(style).expect("a template"));
    bar.set_draw_target(ProgressDrawTarget::stderr());
}
