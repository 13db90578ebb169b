//! The contract of `Source`, `Target` and `Ingest` against every backend.

mod backends;
