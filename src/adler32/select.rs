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

/// The request that leaves the choice to [`select`]. Other requests are numbers of implementations,
/// counted from 1.
pub const AUTO: u32 = 0;

/// Why no implementation was chosen.
#[derive(Debug, PartialEq, Eq)]
pub enum SelectError {
    /// No implementation has the requested number.
    Unknown,
    /// The platform cannot run the requested implementation, which has this name.
    Unsupported(&'static str),
    /// The first implementation does not compute Adler-32.
    Broken(Mismatch),
}

/// Chooses one of `implementations`, which are ordered from the slowest to the fastest. The others
/// are compared with the first.
///
/// If `request` is [`AUTO`], the choice is the last implementation that `P` can run and that passes
/// [`verify`]. If it is a number, the choice is the implementation with that number. If an
/// implementation fails, `refused` is called with it and its failure, and the choice is the last
/// implementation before it that `P` can run and that passes.
pub fn select<P: Platform>(
    implementations: &[Implementation],
    request: u32,
    scratch: &mut [u8],
    mut refused: impl FnMut(&Runnable<P>, Mismatch),
) -> Result<Runnable<P>, SelectError> {
    let considered = match request {
        AUTO => Some(implementations),
        number => usize::try_from(number)
            .ok()
            .and_then(|number| implementations.get(..number)),
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
