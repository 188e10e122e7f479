// SPDX-License-Identifier: GPL-2.0 OR MIT

//! How the bytes of files came into the checksums.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;

use adler32::file::Way;
use adler32::Error;
use adler32::Sum;
use indicatif::ProgressBar;
use serde_json::Map;
use serde_json::Value;

/// How many bytes came in each way.
#[derive(Clone, Copy, Default)]
pub struct Ways([u64; Way::ALL.len()]);

impl Ways {
    /// Returns the ways that were taken.
    fn taken(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let names = Way::ALL.iter().map(|way| way.name());
        names.zip(self.0).filter(|(_, bytes)| *bytes > 0)
    }

    /// Returns whether bytes came in this way.
    pub fn contains(&self, way: Way) -> bool {
        self.0[way as usize] > 0
    }

    /// Returns whether no bytes came.
    pub fn is_empty(&self) -> bool {
        self.taken().next().is_none()
    }

    /// Returns text such as `cache 1048576, hole 65536`.
    pub fn text(&self) -> String {
        let taken: Vec<_> = self
            .taken()
            .map(|(name, bytes)| format!("{name} {bytes}"))
            .collect();
        match self.is_empty() {
            true => "no bytes".to_owned(),
            false => taken.join(", "),
        }
    }

    /// Returns a JSON object with a member for each way that was taken.
    pub fn json(&self) -> Value {
        let taken = self.taken();
        let members: Map<_, _> = taken
            .map(|(name, bytes)| (name.to_owned(), bytes.into()))
            .collect();
        members.into()
    }
}

/// A checksum, and how its bytes came.
#[derive(Clone, Copy)]
pub struct Summed {
    /// The checksum.
    pub sum: Sum,
    /// How many bytes came in each way.
    pub ways: Ways,
}

impl Summed {
    /// Counts the bytes that `sum` reports, which are also shown by the gauge.
    pub fn count(
        gauge: &Gauge,
        sum: impl FnOnce(&(dyn Fn(Way, u64) + Sync)) -> Result<Sum, Error>,
    ) -> Result<Self, Error> {
        let counts = [const { AtomicU64::new(0) }; Way::ALL.len()];
        let sum = sum(&|way, bytes| {
            counts[way as usize].fetch_add(bytes, Relaxed);
            gauge.show(way, bytes);
        })?;
        let ways = Ways(counts.map(AtomicU64::into_inner));
        Ok(Self { sum, ways })
    }
}

/// Shows on a progress bar how many bytes were summed, and how the latest of them came.
#[derive(Clone)]
pub struct Gauge {
    pub bar: ProgressBar,
    /// The way that the bar shows.
    way: Arc<AtomicUsize>,
    /// Whether any bytes came from a disk.
    disk: Arc<AtomicBool>,
}

impl Gauge {
    /// Returns a gauge that is hidden until the bar is shown.
    pub fn hidden() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            way: Arc::new(AtomicUsize::new(Way::ALL.len())),
            disk: Arc::default(),
        }
    }

    /// Returns whether any bytes came from a disk.
    pub fn disk(&self) -> bool {
        self.disk.load(Relaxed)
    }

    fn show(&self, way: Way, bytes: u64) {
        if self.way.load(Relaxed) != way as usize {
            self.way.store(way as usize, Relaxed);
            if matches!(way, Way::Disk | Way::Direct) {
                self.disk.store(true, Relaxed);
            }
            self.bar.set_message(format!(", {}", way.name()));
        }
        self.bar.inc(bytes);
    }
}
