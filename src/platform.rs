// SPDX-License-Identifier: GPL-2.0

//! The implementation of the algorithm that this machine uses, chosen once when the module loads.

use crate::adler32;
use crate::adler32::portable;
use crate::adler32::select::select;
use crate::adler32::select::SelectError;
use crate::adler32::verify;
use crate::adler32::verify::Mismatch;
use crate::adler32::Adler32;
use crate::adler32::Features;
use crate::adler32::Implementation;
use crate::adler32::Platform;
use crate::adler32::Runnable;
use kernel::prelude::*;
use kernel::sync::SetOnce;

/// From how many bytes on vector registers are used.
///
/// If they have been saved since the task last ran in user space, they pay from 66 bytes on. If
/// not, saving and restoring them takes another 150 ns and they pay from 3 KiB on. Which of the
/// two holds is not known here; general registers take 150 ns for 2 KiB, so that with this value
/// neither mistake costs more than that. (Zen 4, 3.7 GHz, `make bench-core`.)
const BREAK_EVEN: usize = 2 * 1024;

/// How many bytes are summed up before other tasks may have the processor again: half a microsecond's
/// work, or three microseconds' if the data come from memory.
const SECTION: usize = 32 * 1024;

/// The kernel on this machine.
struct Kernel;

// SAFETY: The features are those that the kernel uses itself, and it saves their registers.
unsafe impl Platform for Kernel {
    #[cfg(CONFIG_X86_64)]
    fn features() -> Features {
        use crate::kernel_ext::fpu;
        use kernel::bindings;

        let mut features = Features::NONE;
        if fpu::has_feature(bindings::X86_FEATURE_AVX2) && fpu::saves_avx() {
            features = features.with(Features::AVX2);
        }
        let avx512 = [
            bindings::X86_FEATURE_AVX512F,
            bindings::X86_FEATURE_AVX512BW,
            bindings::X86_FEATURE_AVX512VL,
            bindings::X86_FEATURE_AVX512_VNNI,
        ];
        // On some processors, 512-bit registers slow down everything else.
        let prefer_256_bits = fpu::has_feature(bindings::X86_FEATURE_PREFER_YMM);
        if avx512.into_iter().all(fpu::has_feature) && !prefer_256_bits && fpu::saves_avx512() {
            features = features.with(Features::AVX512_VNNI);
        }
        features
    }

    #[cfg(not(CONFIG_X86_64))]
    fn features() -> Features {
        Features::NONE
    }

    unsafe fn run(implementation: &Implementation, start: Adler32, data: &[u8]) -> Adler32 {
        // SAFETY: The caller promises that the features suffice. If there are any, this is called
        // where the vector registers are to be had.
        let update = |start, data| unsafe { implementation.update(start, data) };
        if implementation.requires() == Features::NONE {
            return update(start, data);
        }
        if data.len() < BREAK_EVEN {
            return portable(start, data);
        }
        data.chunks(SECTION).fold(start, |start, section| {
            with_vectors(|| update(start, section)).unwrap_or_else(|| portable(start, section))
        })
    }
}

#[cfg(CONFIG_X86_64)]
use crate::kernel_ext::fpu::with_vectors;

/// There are none that an implementation could require.
#[cfg(not(CONFIG_X86_64))]
fn with_vectors<R>(_work: impl FnOnce() -> R) -> Option<R> {
    None
}

const _: () = assert!(BREAK_EVEN >= *verify::LONG.start(), "not verified");

static CHOSEN: SetOnce<Runnable<Kernel>> = SetOnce::new();

/// Chooses an implementation: the fastest that works, or the one with the number `request`.
pub(crate) fn choose(request: u32) -> Result {
    let mut scratch = KVVec::from_elem(0, verify::SCRATCH_LEN, GFP_KERNEL)?;
    let choice = select(
        adler32::IMPLEMENTATIONS,
        request,
        &mut scratch,
        |implementation, mismatch| log_mismatch(implementation.name(), &mismatch),
    );
    match choice {
        Ok(implementation) => {
            CHOSEN.populate(implementation);
            Ok(())
        }
        Err(SelectError::Unknown) => {
            pr_err!(
                "implementation={} is not known: modinfo adler32 lists those that are\n",
                request
            );
            Err(EINVAL)
        }
        Err(SelectError::Unsupported(name)) => {
            pr_err!(
                "implementation {} needs what is not available here: load without implementation=\n",
                name
            );
            Err(ENODEV)
        }
        Err(SelectError::Broken(mismatch)) => {
            log_mismatch(adler32::PORTABLE.name(), &mismatch);
            Err(ENODEV)
        }
    }
}

fn log_mismatch(name: &str, mismatch: &Mismatch) {
    pr_err!(
        "implementation {} is wrong and not used: {} bytes from {:08x} give {:08x}, not {:08x}\n",
        name,
        mismatch.len,
        mismatch.start,
        mismatch.found,
        mismatch.expected
    );
}

/// Returns the name of the implementation in use.
pub(crate) fn name() -> &'static str {
    CHOSEN
        .as_ref()
        .map_or(adler32::PORTABLE.name(), Runnable::name)
}

/// Continues a checksum over `data`.
pub(crate) fn update(start: Adler32, data: &[u8]) -> Adler32 {
    match CHOSEN.as_ref() {
        Some(chosen) => chosen.update(start, data),
        None => portable(start, data),
    }
}
