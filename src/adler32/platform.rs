// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The platforms that run implementations.

use core::marker::PhantomData;

use super::{
    Adler32,
    Features,
    Implementation, //
};

/// A platform that runs implementations: the kernel, or a program.
///
/// # Safety
///
/// [`Self::run()`] must call implementations only where the features that [`Self::features()`]
/// returns can be used.
pub unsafe trait Platform {
    /// Returns the features that implementations can use on this platform. All calls return the
    /// same features.
    fn features() -> Features;

    /// Continues a checksum over `data`.
    ///
    /// # Safety
    ///
    /// [`Self::features()`] must contain the features that `implementation` requires.
    unsafe fn run(implementation: &Implementation, start: Adler32, data: &[u8]) -> Adler32;
}

/// An implementation that the platform `P` can run.
///
/// # Invariants
///
/// The features of `P` contain those that the implementation requires.
pub struct Runnable<P>(Implementation, PhantomData<P>);

impl<P: Platform> Runnable<P> {
    /// Returns the implementation ready to run, or `None` if `P` cannot run it.
    pub fn new(implementation: Implementation) -> Option<Self> {
        P::features()
            .contains(implementation.requires())
            // INVARIANT: `contains()` has returned true.
            .then_some(Self(implementation, PhantomData))
    }

    /// Returns the name of the implementation.
    pub fn name(&self) -> &'static str {
        self.0.name()
    }

    /// Continues a checksum over `data`.
    #[inline]
    pub fn update(&self, start: Adler32, data: &[u8]) -> Adler32 {
        // SAFETY: By the type invariant, the features of `P` contain those that the implementation
        // requires.
        unsafe { P::run(&self.0, start, data) }
    }
}

impl<P> Clone for Runnable<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Runnable<P> {}
