//! What an error carries beside its text, for programs.

use std::time::Duration;

/// The end of a transfer that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Side {
    /// The end that content is read from.
    Source,
    /// The end that content is written to.
    Target,
    /// Neither: this process itself.
    Local,
}

/// One entry of the `errors` of a registry's answer (distribution-spec, "Error Codes"), free of secrets and control
/// characters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegistryCode {
    /// For example `MANIFEST_UNKNOWN`; empty if the registry gives none.
    pub code: String,
    /// The registry's own words; may be empty.
    pub message: String,
    /// A string as it is, anything else as JSON; empty if the registry gives none.
    pub detail: String,
}

/// The failure of a host that has answered before in this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outage {
    /// Since the first of its failures in a row, in any task.
    pub lasted: Duration,
    /// Whether it is time to say so: once, and not for a blink.
    pub is_news: bool,
}
