// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The backends, and the methods by which they sum a workload.

use std::fs::File;
use std::io::Read;
use std::io::Seek;
use std::iter;
use std::num::NonZero;
use std::thread;

use adler32::file;
use adler32::file::Options;
use adler32::processor;
use adler32::Adler32;
use adler32::Backend;
use adler32::BackendKind;
use adler32::Error;
use adler32::Sum;
use serde_json::json;
use serde_json::Map;
use serde_json::Value;

use super::measure::Measurement;
use super::measure::Method;
use super::picture::LABEL;
use crate::diagnosis;
use crate::diagnosis::system;
use crate::diagnosis::Diagnosis;
use crate::ways::Gauge;
use crate::ways::Summed;
use crate::ways::Ways;

/// The number of bytes of a read whose data is not summed, and the alignment of its buffer. The
/// library reads long files in the same way.
const READ: usize = 2 << 20;
const PAGE: usize = 4096;

/// The data to sum.
#[derive(Clone, Copy)]
pub enum Workload<'a> {
    /// A file, which is in the page cache once it has been read.
    File(&'a File),
    /// Data in memory.
    Memory(&'a [u8]),
}

impl Workload<'_> {
    /// Returns the name in the output.
    pub fn name(self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Memory(_) => "memory",
        }
    }

    /// Returns the checksum that all methods must compute.
    pub fn sum(self) -> Result<Sum, Error> {
        Ok(self.sum_by_threads(NonZero::new(1))?.sum)
    }

    fn sum_by_threads(self, threads: Option<NonZero<usize>>) -> Result<Summed, Error> {
        match self {
            Self::File(file) => counted(threads, |options| file::checksum(rewound(file)?, options)),
            Self::Memory(data) => {
                let checksum = processor::update_parallel(Adler32::EMPTY, data, threads);
                Ok(in_memory(checksum, data))
            }
        }
    }

    /// Returns the length from which the processor uses several threads by default.
    fn parallel_from(self) -> u64 {
        match self {
            Self::File(_) => file::PARALLEL_FROM,
            Self::Memory(_) => processor::PARALLEL_FROM as u64,
        }
    }
}

/// The backends of this system.
pub struct Backends {
    open: Vec<Backend>,
    /// The other backends, each with the reason.
    unavailable: Vec<(BackendKind, String)>,
}

impl Backends {
    /// Opens all backends.
    pub fn open() -> Self {
        let mut backends = Self {
            open: Vec::new(),
            unavailable: Vec::new(),
        };
        for kind in [BackendKind::Device, BackendKind::Ioctl, BackendKind::AfAlg] {
            // Opening AF_ALG could load the module, and so change the state of the device.
            let available = match kind {
                BackendKind::AfAlg => diagnosis::probe_af_alg(),
                _ => Ok(()),
            };
            match available.and_then(|()| Backend::open(kind).map_err(Diagnosis::of)) {
                Ok(backend) => backends.open.push(backend),
                Err(diagnosis) => backends.unavailable.push((kind, diagnosis.to_string())),
            }
        }
        backends
    }

    /// Returns the implementation of the module, if the device is open.
    fn module(&self) -> Option<String> {
        self.open.iter().find_map(|backend| match backend {
            Backend::Device(session) => Some(session.info().ok()?.implementation),
            _ => None,
        })
    }

    /// Returns lines that describe what is measured and what is not.
    pub fn describe(&self, rounds: usize) -> String {
        let mut text = String::new();
        let mut line = |label: &str, value: &str| {
            text += &format!("{label:<LABEL$}{value}\n");
        };
        if let Ok(release) = system::kernel_release() {
            line("kernel", &release);
        }
        line(BackendKind::Cpu.name(), processor::fastest().name());
        line("threads", &threads().to_string());
        if let Some(implementation) = self.module() {
            line("module", &implementation);
        }
        for same in self.unavailable.chunk_by(|(_, a), (_, b)| a == b) {
            let names: Vec<_> = same.iter().map(|(kind, _)| kind.name()).collect();
            line(&names.join(", "), &same[0].1);
        }
        line("rounds", &rounds.to_string());
        text
    }

    /// Returns the JSON object of all results.
    pub fn to_json(&self, rounds: usize, measurements: &[Measurement]) -> Value {
        let unavailable = self.unavailable.iter();
        let unavailable: Map<_, _> = unavailable
            .map(|(kind, why)| (kind.name().to_owned(), why.as_str().into()))
            .collect();
        json!({
            "kernel": system::kernel_release().ok(),
            "cpu": processor::fastest().name(),
            "threads": threads(),
            "module": self.module(),
            "unavailable": unavailable,
            "rounds": rounds,
            "unit": "GB/s",
            "workloads": measurements.iter().map(Measurement::to_json).collect::<Vec<_>>(),
        })
    }

    /// Returns all methods for a workload of `len` bytes.
    pub fn methods<'a>(&'a mut self, workload: Workload<'a>, len: u64) -> Vec<Method<'a>> {
        let mut methods = Vec::new();
        if let Workload::File(file) = workload {
            let mut memory = vec![0; READ + PAGE];
            methods.push(Method::new("read alone", move || {
                let start = memory.as_ptr().align_offset(PAGE);
                read_alone(rewound(file)?, &mut memory[start..][..READ])?;
                Ok(None)
            }));
        }
        let parallel = len >= workload.parallel_from() && threads() > 1;
        let one = parallel.then_some(("cpu, 1 thread", NonZero::new(1)));
        for (name, threads) in iter::once((BackendKind::Cpu.name(), None)).chain(one) {
            methods.push(Method::new(name, move || {
                workload.sum_by_threads(threads).map(Some)
            }));
        }
        for backend in &mut self.open {
            methods.push(Method::new(backend.kind().name(), move || {
                match workload {
                    Workload::File(file) => counted(None, |options| {
                        backend.checksum_file(rewound(file)?, options)
                    }),
                    Workload::Memory(data) => backend
                        .checksum_bytes(data)
                        .map(|sum| in_memory(sum.checksum, data)),
                }
                .map(Some)
            }));
        }
        methods
    }
}

/// Sums a file, and counts how its bytes come.
fn counted(
    threads: Option<NonZero<usize>>,
    sum: impl FnOnce(Options<'_>) -> Result<Sum, Error>,
) -> Result<Summed, Error> {
    Summed::count(&Gauge::hidden(), |progress| {
        sum(Options {
            threads,
            progress: Some(progress),
            ..Options::default()
        })
    })
}

fn in_memory(checksum: Adler32, data: &[u8]) -> Summed {
    let length = data.len() as u64;
    Summed {
        sum: Sum { checksum, length },
        ways: Ways::default(),
    }
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

fn rewound(mut file: &File) -> Result<&File, Error> {
    file.rewind().map_err(Error::Read)?;
    Ok(file)
}

fn read_alone(mut file: &File, buffer: &mut [u8]) -> Result<(), Error> {
    while file.read(buffer).map_err(Error::Read)? > 0 {}
    Ok(())
}
