//! The contract of `Lookup`, `Source` and `Target` against every backend.

mod backends;
mod lookup;
mod writing;
