// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The choice of an implementation.

use super::verify::verify;
use super::verify::Mismatch;
use super::verify::DEFINITION;
use super::Implementation;
use super::Platform;
use super::Runnable;

/// The request that leaves the choice to [`select`]. Other requests count the implementations
/// from 1.
pub const AUTO: u32 = 0;

/// Why no implementation was chosen.
#[derive(Debug, PartialEq, Eq)]
pub enum SelectError {
    /// No implementation has the number asked for.
    Unknown,
    /// The one asked for, of this name, cannot run here.
    Unsupported(&'static str),
    /// Not even the first one computes Adler-32.
    Broken(Mismatch),
}

/// Chooses one of `implementations`, which are ordered from the slowest to the fastest and begin
/// with the one that the others are checked against.
///
/// With [`AUTO`], it is the last that `P` can run and that passes [`verify`]; with a number, that
/// one. One that fails is handed to `refused` with its failure, and the choice falls back on those
/// before it.
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
