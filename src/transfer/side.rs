//! Says in an error which end of a transfer failed.

use crate::error::{Result, Side};

/// Adds the end that was called to the error of a result.
pub(super) trait OnSide {
    /// Sets the side of the error, unless a call further down has set it.
    #[must_use]
    fn on(self, side: Side) -> Self;
}

impl<T> OnSide for Result<T> {
    fn on(self, side: Side) -> Self {
        self.map_err(|error| error.with_side(side))
    }
}
