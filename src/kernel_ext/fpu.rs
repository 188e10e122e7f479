// SPDX-License-Identifier: GPL-2.0

//! The vector registers of x86-64 in the kernel, which must be borrowed from user space.
//!
//! C header: [`arch/x86/include/asm/fpu/api.h`](srctree/arch/x86/include/asm/fpu/api.h)
//!
//! The kernel of User Mode Linux is an ordinary process and owns its vector registers.

use kernel::bindings;

/// Returns whether the kernel reports the processor's feature `feature`, one of
/// `bindings::X86_FEATURE_*`. The kernel does not report features that `clearcpuid=` on its command
/// line removes.
pub(crate) fn has_feature(feature: u32) -> bool {
    // SAFETY: The field of the union is an array of integers, of which any bits are values. The
    // kernel does not write to it after boot.
    #[cfg(not(CONFIG_UML))]
    let capabilities = unsafe { bindings::boot_cpu_data.__bindgen_anon_3.x86_capability };
    // SAFETY: As above.
    #[cfg(CONFIG_UML)]
    let capabilities = unsafe { bindings::boot_cpu_data.__bindgen_anon_1.x86_capability };
    capabilities
        .get((feature / u32::BITS) as usize)
        .is_some_and(|word| word >> (feature % u32::BITS) & 1 == 1)
}

/// Returns whether the 256-bit registers are enabled, and saved and restored by the kernel.
pub(crate) fn saves_avx() -> bool {
    #[cfg(not(CONFIG_UML))]
    return saves_state(&[
        bindings::xfeature_XFEATURE_SSE,
        bindings::xfeature_XFEATURE_YMM,
    ]);
    // UML takes its features from the host's list of what programs can use.
    #[cfg(CONFIG_UML)]
    true
}

/// Returns whether the 512-bit registers and the mask registers are enabled, and saved and restored
/// by the kernel.
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

/// Returns whether the kernel saves and restores all these parts of the register state.
#[cfg(not(CONFIG_UML))]
fn saves_state(parts: &[bindings::xfeature]) -> bool {
    let mask = parts.iter().fold(0, |mask, part| mask | 1 << part);
    // SAFETY: The function has no requirements except that it can write the name of a missing
    // feature to its second argument, which it does not do if that is null.
    unsafe { bindings::cpu_has_xfeatures(mask, core::ptr::null_mut()) != 0 }
}

/// Calls `work`, which may change the vector registers. Returns `None` without calling it if the
/// registers cannot be used in the current context.
///
/// Preemption is off while `work` runs, and so are softirqs unless the kernel is PREEMPT_RT. Must
/// not be called from NMIs.
#[cfg(not(CONFIG_UML))]
pub(crate) fn with_vectors<R>(work: impl FnOnce() -> R) -> Option<R> {
    // SAFETY: The function has no requirements: it only reads the state of the processor and the
    // task.
    if !unsafe { bindings::irq_fpu_usable() } {
        return None;
    }
    // 0: neither the x87 registers nor MXCSR need initial values, since `work` may only use integer
    // instructions.
    // SAFETY: `irq_fpu_usable()` has just allowed the use of the registers in this context. The
    // section ends below, on all paths: the kernel's Rust code does not unwind.
    unsafe { bindings::kernel_fpu_begin_mask(0) };
    let result = work();
    // SAFETY: This ends the section that began above.
    unsafe { bindings::kernel_fpu_end() };
    Some(result)
}

/// Calls `work`, which may change the vector registers.
#[cfg(CONFIG_UML)]
pub(crate) fn with_vectors<R>(work: impl FnOnce() -> R) -> Option<R> {
    Some(work())
}
