// SPDX-License-Identifier: GPL-2.0

//! The kernel as a platform for implementations, and the implementation that is chosen when the
//! module is loaded.

use kernel::{
    module_param::KernelParam,
    prelude::*,
    sync::SetOnce, //
};

use crate::adler32::{
    self,
    portable,
    select::{
        select,
        SelectError, //
    },
    verify::{
        self,
        Mismatch, //
    },
    Adler32,
    Features,
    Implementation,
    Platform,
    Runnable, //
};
#[cfg(CONFIG_X86_64)]
use crate::kernel_ext::fpu::{
    self,
    with_vectors, //
};
#[cfg(CONFIG_ARM64)]
use crate::kernel_ext::neon::{
    self,
    with_vectors, //
};
use crate::kernel_ext::param::NameParam;

/// Data of at least this many bytes are summed with vector registers.
///
/// If the vector registers have been saved since the task last ran in user space, using them pays
/// from 66 bytes on. If they have not, saving and restoring them takes another 150 ns, and using
/// them pays from 3 KiB on. The module cannot find out which of the two is the case. General
/// registers take 150 ns for 2 KiB, so with this value neither mistake costs more than 150 ns.
/// (Zen 4, 3.7 GHz, `make bench-core`.)
const BREAK_EVEN: usize = 2 * 1024;

/// How many bytes are summed with preemption off: work for half a microsecond, or for three
/// microseconds if the data come from memory.
const SECTION: usize = 32 * 1024;

/// The kernel as a platform.
struct Kernel;

// SAFETY: `features()` returns those features that the kernel itself uses and for which it saves
// and restores the registers. `run()` uses them only inside `with_vectors()`.
unsafe impl Platform for Kernel {
    #[cfg(CONFIG_X86_64)]
    fn features() -> Features {
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

    #[cfg(CONFIG_ARM64)]
    fn features() -> Features {
        let mut features = Features::NONE;
        if neon::has_neon() {
            features = features.with(Features::NEON);
        }
        if neon::has_dotprod() {
            features = features.with(Features::DOTPROD);
        }
        features
    }

    #[cfg(not(any(CONFIG_ARM64, CONFIG_X86_64)))]
    fn features() -> Features {
        Features::NONE
    }

    unsafe fn run(implementation: &Implementation, start: Adler32, data: &[u8]) -> Adler32 {
        // SAFETY: The caller guarantees that `features()` contains what the implementation
        // requires. If it requires any feature, `update` is called inside `with_vectors()` only,
        // which allows it to change the vector registers.
        let update = |start, data: &[u8]| unsafe { implementation.update(start, data) };
        if implementation.requires() == Features::NONE {
            return update(start, data);
        }
        in_sections(start, data, |start, section| {
            with_vectors(|| update(start, section))
        })
    }
}

/// Continues a checksum over `data` with `vectors`, section by section. Sections that are too short
/// for vector registers, and those for which `vectors` returns `None`, are summed without them.
fn in_sections(
    start: Adler32,
    data: &[u8],
    mut vectors: impl FnMut(Adler32, &[u8]) -> Option<Adler32>,
) -> Adler32 {
    data.chunks(SECTION).fold(start, |start, section| {
        let sum = match section.len() {
            BREAK_EVEN.. => vectors(start, section),
            _ => None,
        };
        sum.unwrap_or_else(|| portable(start, section))
    })
}

/// Never calls `work`: other architectures have no features that an implementation could require.
#[cfg(not(any(CONFIG_ARM64, CONFIG_X86_64)))]
fn with_vectors<R>(_work: impl FnOnce() -> R) -> Option<R> {
    None
}

const _: () = assert!(BREAK_EVEN >= *verify::LONG.start(), "not verified");

static CHOSEN: SetOnce<Runnable<Kernel>> = SetOnce::new();

/// [`AUTO`](adler32::select::AUTO) and the names of [`adler32::IMPLEMENTATIONS`].
#[cfg(CONFIG_X86_64)]
macro_rules! names {
    () => {
        "auto, portable, avx2, avx512-vnni"
    };
}
#[cfg(CONFIG_ARM64)]
macro_rules! names {
    () => {
        "auto, portable, neon, neon-dotprod"
    };
}
#[cfg(not(any(CONFIG_ARM64, CONFIG_X86_64)))]
macro_rules! names {
    () => {
        "auto, portable"
    };
}

/// The parameter `implementation`: before the choice, what the user requested, and then the name of
/// the chosen implementation.
static PARAMETER: NameParam = NameParam::new(c"implementation", names!());

#[link_section = "__param"]
#[used]
static PARAMETER_ENTRY: KernelParam = PARAMETER.entry();

const DESCRIPTION: &str = concat!(
    "parm=implementation:The code that computes the checksum: ",
    names!(),
    " (default: auto, the fastest that works)\0"
);

/// The description of the parameter for `modinfo`.
#[link_section = ".modinfo"]
#[used]
// The compiler evaluates this, so nothing can panic at run time.
static MODINFO: [u8; DESCRIPTION.len()] = *DESCRIPTION.as_bytes().first_chunk().unwrap();

/// Chooses the implementation that the module parameter requests.
pub(crate) fn choose() -> Result {
    let request = PARAMETER.value();
    let mut scratch = KVVec::from_elem(0, verify::SCRATCH_LEN, GFP_KERNEL)?;
    let choice = select(
        adler32::IMPLEMENTATIONS,
        request,
        &mut scratch,
        |implementation, mismatch| log_mismatch(implementation.name(), &mismatch),
    );
    match choice {
        Ok(implementation) => {
            PARAMETER.set_value(implementation.name().as_bytes());
            CHOSEN.populate(implementation);
            Ok(())
        }
        // The parameter takes the names of implementations only.
        Err(SelectError::Unknown) => Err(EINVAL),
        Err(SelectError::Unsupported(name)) => {
            pr_err!(
                "implementation {} cannot run here: load the module without implementation=\n",
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

#[kunit_tests(adler32_platform)]
mod tests {
    use super::*;

    #[test]
    fn parameter_takes_all_implementations() {
        let implementations = adler32::IMPLEMENTATIONS.iter().map(Implementation::name);
        assert!(PARAMETER.names().skip(1).eq(implementations));
    }

    #[test]
    fn only_verified_lengths_use_vectors() -> Result {
        let data = KVVec::from_elem(0xff, 3 * SECTION, GFP_KERNEL)?;
        for len in [0, 1, BREAK_EVEN - 1, BREAK_EVEN, SECTION, 3 * SECTION] {
            for tail in [0, 1, BREAK_EVEN - 1, BREAK_EVEN] {
                let data = data.get(..len + tail).unwrap_or(&data);
                let mut with_vectors = 0;
                let sum = in_sections(Adler32::EMPTY, data, |start, section| {
                    assert!(*verify::LONG.start() <= section.len());
                    with_vectors += section.len();
                    Some(portable(start, section))
                });
                assert_eq!(sum, portable(Adler32::EMPTY, data));
                assert!(data.len() - with_vectors < BREAK_EVEN);
                assert_eq!(in_sections(Adler32::EMPTY, data, |_, _| None), sum);
            }
        }
        Ok(())
    }
}
