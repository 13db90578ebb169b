//! Data of an error for programs.

use std::time::Duration;

/// The side of a transfer that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Side {
    /// Reading from the source.
    Source,
    /// Writing to the target.
    Target,
    /// This process itself.
    Local,
}

/// One entry of `errors` in a registry's response (distribution-spec, "Error Codes"), free of secrets and control
/// characters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegistryCode {
    /// For example `MANIFEST_UNKNOWN`; empty if the registry gives none.
    pub code: String,
    /// The registry's message; may be empty.
    pub message: String,
    /// A string unchanged, other values as JSON; empty if the registry gives none.
    pub detail: String,
}

/// The failure of a host that responded earlier in this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outage {
    /// Time since its first consecutive failure, in any task.
    pub lasted: Duration,
    /// Whether to report it now: once per outage, and not for very short ones.
    pub should_report: bool,
}
