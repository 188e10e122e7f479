// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Where implementations run.

use super::Adler32;
use super::Features;
use super::Implementation;
use core::marker::PhantomData;

/// A place where implementations run: the kernel, or a program.
///
/// # Safety
///
/// What [`Self::features()`] returns is there whenever [`Self::run()`] uses it.
pub unsafe trait Platform {
    /// Returns what implementations can use here, the same each time.
    fn features() -> Features;

    /// Continues a checksum over the bytes given.
    ///
    /// # Safety
    ///
    /// [`Self::features()`] contains what `implementation` requires.
    unsafe fn run(implementation: &Implementation, start: Adler32, data: &[u8]) -> Adler32;
}

/// An implementation that the platform `P` can run.
///
/// # Invariants
///
/// The features of `P` contain what the implementation requires.
pub struct Runnable<P>(Implementation, PhantomData<P>);

impl<P: Platform> Runnable<P> {
    /// Returns the implementation ready to run, or `None` if it cannot run here.
    pub fn new(implementation: Implementation) -> Option<Self> {
        P::features()
            .contains(implementation.requires())
            // INVARIANT: Just checked.
            .then_some(Self(implementation, PhantomData))
    }

    /// Returns the name of the implementation.
    pub fn name(&self) -> &'static str {
        self.0.name()
    }

    /// Continues a checksum over the bytes given.
    #[inline]
    pub fn update(&self, start: Adler32, data: &[u8]) -> Adler32 {
        // SAFETY: By the type invariant.
        unsafe { P::run(&self.0, start, data) }
    }
}

impl<P> Clone for Runnable<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Runnable<P> {}
