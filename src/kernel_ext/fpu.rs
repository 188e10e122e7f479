// SPDX-License-Identifier: GPL-2.0

//! The vector registers of x86-64 in the kernel, which belong to user space unless they are asked
//! for.
//!
//! C header: [`arch/x86/include/asm/fpu/api.h`](srctree/arch/x86/include/asm/fpu/api.h)
//!
//! In User Mode Linux they are those of an ordinary process, and there is nothing to ask for.

use kernel::bindings;

/// Returns whether the processor has a feature, `bindings::X86_FEATURE_*`, as the kernel sees it:
/// not if the command line has `clearcpuid=` for it.
pub(crate) fn has_feature(feature: u32) -> bool {
    // SAFETY: It is an array of integers for any bits, written while the kernel starts.
    #[cfg(not(CONFIG_UML))]
    let capabilities = unsafe { bindings::boot_cpu_data.__bindgen_anon_3.x86_capability };
    // SAFETY: As above.
    #[cfg(CONFIG_UML)]
    let capabilities = unsafe { bindings::boot_cpu_data.__bindgen_anon_1.x86_capability };
    capabilities
        .get((feature / u32::BITS) as usize)
        .is_some_and(|word| word >> (feature % u32::BITS) & 1 == 1)
}

/// Returns whether the 256-bit registers are enabled and saved.
pub(crate) fn saves_avx() -> bool {
    #[cfg(not(CONFIG_UML))]
    return saves_state(&[
        bindings::xfeature_XFEATURE_SSE,
        bindings::xfeature_XFEATURE_YMM,
    ]);
    // The flags that UML takes its features from are those for programs.
    #[cfg(CONFIG_UML)]
    true
}

/// Returns whether the 512-bit registers and the mask registers are enabled and saved.
pub(crate) fn saves_avx512() -> bool {
    #[cfg(not(CONFIG_UML))]
    return saves_avx()
        && saves_state(&[
            bindings::xfeature_XFEATURE_OPMASK,
            bindings::xfeature_XFEATURE_ZMM_Hi256,
            bindings::xfeature_XFEATURE_Hi16_ZMM,
        ]);
    #[cfg(CONFIG_UML)]
    true
}

/// Returns whether the kernel saves and restores all these parts of the state.
#[cfg(not(CONFIG_UML))]
fn saves_state(parts: &[bindings::xfeature]) -> bool {
    let mask = parts.iter().fold(0, |mask, part| mask | 1 << part);
    // SAFETY: A name is stored only where there is a place for it.
    unsafe { bindings::cpu_has_xfeatures(mask, core::ptr::null_mut()) != 0 }
}

/// Calls `work`, which may change the vector registers, or returns `None` if that is not possible
/// in the context of the caller.
///
/// Preemption is off meanwhile, and so are softirqs but with PREEMPT_RT. Not for use in NMIs.
#[cfg(not(CONFIG_UML))]
pub(crate) fn with_vectors<R>(work: impl FnOnce() -> R) -> Option<R> {
    // SAFETY: Only looks at the state of the processor and the task.
    if !unsafe { bindings::irq_fpu_usable() } {
        return None;
    }
    // Neither the x87 registers nor MXCSR matter to integer instructions.
    // SAFETY: The registers are usable, and given back below.
    unsafe { bindings::kernel_fpu_begin_mask(0) };
    let result = work();
    // SAFETY: Pairs with the above.
    unsafe { bindings::kernel_fpu_end() };
    Some(result)
}

/// Calls `work`, which may change the vector registers.
#[cfg(CONFIG_UML)]
pub(crate) fn with_vectors<R>(work: impl FnOnce() -> R) -> Option<R> {
    Some(work())
}
