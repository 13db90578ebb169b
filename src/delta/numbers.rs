//! The numbers of a delta's tables.

use std::io::Read;

use super::fault::invalid_delta;
use crate::error::Result;
use crate::leb128;
pub(super) use crate::leb128::{put, put_signed};

/// Reads a number; `None` at the end of the table.
pub(super) fn take_unless_end(from: &mut impl Read) -> Result<Option<u64>> {
    leb128::take(from).map_err(|_| invalid_delta("has a damaged table"))
}

/// Reads a number.
pub(super) fn take(from: &mut impl Read) -> Result<u64> {
    take_unless_end(from)?.ok_or_else(|| invalid_delta("has a table that ends early"))
}

/// Reads a number written by [`put_signed`].
pub(super) fn take_signed(from: &mut impl Read) -> Result<i64> {
    take(from).map(leb128::unzigzag)
}
