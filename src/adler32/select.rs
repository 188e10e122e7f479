// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The choice of an implementation.

use super::{
    verify::{
        verify,
        Mismatch,
        DEFINITION, //
    },
    Implementation,
    Platform,
    Runnable, //
};

/// The request that leaves the choice to [`select`]. Other requests are names of implementations.
pub const AUTO: &str = "auto";

/// Why no implementation was chosen.
#[derive(Debug, PartialEq, Eq)]
pub enum SelectError {
    /// No implementation has the requested name.
    Unknown,
    /// The platform cannot run the implementation with this name.
    Unsupported(&'static str),
    /// The first implementation does not compute Adler-32.
    Broken(Mismatch),
}

/// Chooses one of `implementations`, which are ordered from the slowest to the fastest. The others
/// are compared with the first.
///
/// If `request` is [`AUTO`], the choice is the last implementation that `P` can run and that passes
/// [`verify`]. If it is a name, the choice is the implementation with that name. If an
/// implementation fails, `refused` is called with it and its failure, and the choice is the last
/// implementation before it that `P` can run and that passes.
pub fn select<P: Platform>(
    implementations: &[Implementation],
    request: &str,
    scratch: &mut [u8],
    mut refused: impl FnMut(&Runnable<P>, Mismatch),
) -> Result<Runnable<P>, SelectError> {
    let considered = match request {
        AUTO => Some(implementations),
        name => implementations
            .iter()
            .position(|implementation| implementation.name() == name)
            .and_then(|last| implementations.get(..=last)),
    };
    let (base, candidates) = considered
        .and_then(<[_]>::split_first)
        .ok_or(SelectError::Unknown)?;
    let base = Runnable::new(*base).ok_or(SelectError::Unsupported(base.name()))?;
    if let (Some(last), false) = (candidates.last(), request == AUTO) {
        Runnable::<P>::new(*last).ok_or(SelectError::Unsupported(last.name()))?;
    }

    let definition =
        Runnable::new(DEFINITION).ok_or(SelectError::Unsupported(DEFINITION.name()))?;
    verify(&base, &definition, scratch).map_err(SelectError::Broken)?;
    for candidate in candidates.iter().rev().copied().filter_map(Runnable::new) {
        match verify(&candidate, &base, scratch) {
            Ok(()) => return Ok(candidate),
            Err(mismatch) => refused(&candidate, mismatch),
        }
    }
    Ok(base)
}
