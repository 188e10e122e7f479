// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The progress bar.

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

use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressStyle;

/// The bar appears after this time.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often the bar is drawn.
const PERIOD: Duration = Duration::from_millis(100);

/// A progress bar, which disappears when this object is dropped.
pub struct Progress {
    bar: ProgressBar,
    /// Closed when the work ends.
    working: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Makes `bar` appear on the standard error when the work takes long. Returns `None` if the
    /// standard error is not a terminal. `names` are the files to sum, if they are known.
    pub fn start(bar: &ProgressBar, names: Option<&[OsString]>) -> Option<Self> {
        if !io::stderr().is_terminal() {
            return None;
        }
        let names = names.map(<[OsString]>::to_vec);
        let (working, work) = mpsc::channel::<()>();
        let shown = bar.clone();
        let thread = thread::Builder::new().spawn(move || {
            if work.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                show(&shown, names.as_deref().and_then(total));
                // Returns when the channel is closed.
                let _ = work.recv();
                shown.finish_and_clear();
            }
        });
        Some(Self {
            bar: bar.clone(),
            working: Some(working),
            thread: thread.ok(),
        })
    }

    /// Hides the bar while `print` runs.
    pub fn suspend<R>(&self, print: impl FnOnce() -> R) -> R {
        self.bar.suspend(print)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.working.take());
        if let Some(thread) = self.thread.take() {
            // A failure to draw the bar changes no checksum.
            let _ = thread.join();
        }
    }
}

/// Returns the total size of the files, if all of them are regular files.
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
            "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}{msg}, {eta} left"
        }
        None => "{spinner} {bytes}, {bytes_per_sec}{msg}",
    };
    bar.set_style(ProgressStyle::with_template(style).expect("a template"));
    bar.set_draw_target(ProgressDrawTarget::stderr());
    bar.enable_steady_tick(PERIOD);
}
