//! What a run will move, as data: computed before anything moves, printable, and comparable with the report.
//!
//! ```text
//! build    each blob once per target: shared, partial, mountable or missing
//! sources  refuses images whose blobs are missing at both ends
//! show     what `--plan` prints of one image
//! ```

pub(super) mod build;
pub(super) mod show;
pub(super) mod sources;
