//! Arguments of the commands that manage the store.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct Tag {
    /// Image in the store, or `docker://NAME` for one in a registry
    #[arg(value_name = "SRC")]
    pub(crate) source: String,
    /// New name of the image
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Image names to remove
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
    /// Remove from this overlay directory instead of the store
    #[arg(long, value_name = "DIR")]
    pub(crate) overlay: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Df {
    /// Data root of an engine instead of the store: docker-root:DIR
    #[arg(value_name = "LOCATION")]
    pub(crate) location: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Print what would be freed, without deleting it
    #[arg(long)]
    pub(crate) plan: bool,

    /// Also delete partial downloads less than a day old
    #[arg(long)]
    pub(crate) partials: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Images whose blobs to check, or locations: docker://…, oci:…, oci-archive:…, docker-archive:…
    #[arg(value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// Only runs since then: a duration such as 7d or 12h, or a date such as 2026-11-01 (UTC)
    #[arg(long, value_name = "DUR|DATE")]
    pub(crate) since: Option<String>,
    /// Sums per registry, repository or day
    #[arg(long, value_name = "WHAT")]
    pub(crate) by: Option<StatsGroup>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatsGroup {
    Registry,
    Repository,
    Day,
}
