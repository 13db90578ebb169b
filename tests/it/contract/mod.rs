//! The contract of `Lookup`, `Source` and `Target` against every backend.

mod backends;
mod lookup;
mod memory;
mod writing;

/// The example of a backend that was written from the documentation of the traits.
#[path = "../../../examples/own_backend/main.rs"]
#[expect(dead_code, reason = "its `main` is not called here")]
mod own_backend;
