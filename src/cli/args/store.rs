//! Arguments of the commands that manage the store.

use std::path::PathBuf;

use clap::builder::StringValueParser;
use clap::{Args, ValueEnum};

use super::offering::Offering;

/// What follows the options of `rm` in the help.
pub(super) const RM_HELP: &str = "Examples:
  rpull rm alpine:3.14 debian:12 && rpull prune
  rpull rm alpine:3.14 --plan
  rpull rm --overlay /srv/layers alpine:3.14
  rpull rm --keep 3 --older-than 30d --plan
  rpull rm --filter 'reference=ghcr.io/org/*' --filter label=stage=test --yes

With --older-than, --keep or --filter, images that satisfy all of them are removed together with the
blobs that only they reference. `*` in a value stands for any text. Images without a creation date
stay, unless only --filter is given.

Unpacked layers stay: an overlay directory keeps its images until they are removed from it with
--overlay, or until the directory is deleted.";

#[derive(Debug, Args)]
pub(crate) struct Tag {
    /// Image in the store, or `docker://NAME` for one in a registry
    #[arg(value_name = "SRC")]
    pub(crate) source: String,
    /// New name of the image
    pub(crate) name: String,
}

#[derive(Debug, Default, Args)]
pub(crate) struct Images {
    /// List only images that match: reference=, registry=, repository=, tag=, platform= or label= (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// Order of the images; newest or largest first
    #[arg(long, value_name = "KEY", default_value = "name")]
    pub(crate) sort: ImageOrder,
    /// List at most N images
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImageOrder {
    #[default]
    Name,
    Created,
    Size,
}

#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Image names to remove
    #[arg(required_unless_present_any = ["older_than", "keep", "filter"], value_name = "IMAGE")]
    #[arg(conflicts_with_all = ["older_than", "keep", "filter"])]
    pub(crate) images: Vec<String>,
    /// Remove from this overlay directory instead of the store
    #[arg(long, value_name = "DIR", conflicts_with_all = ["older_than", "keep", "filter", "plan"])]
    pub(crate) overlay: Option<PathBuf>,
    /// Remove images that were created longer ago, or before a date, and free their space
    #[arg(long, value_name = "DUR|DATE")]
    pub(crate) older_than: Option<String>,
    /// Remove all but the N newest images of each repository, and free their space
    #[arg(long, value_name = "N")]
    pub(crate) keep: Option<usize>,
    /// Remove only images that match: reference=, registry=, repository=, tag=, platform= or label= (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// Print which images would be removed and what that would free, without removing them
    #[arg(long)]
    pub(crate) plan: bool,
    /// Remove without asking
    #[arg(long, short = 'y', short_alias = 'f')]
    pub(crate) yes: bool,
}

impl Rm {
    /// Whether options select the images.
    pub(crate) fn is_selection(&self) -> bool {
        self.images.is_empty()
    }
}

#[derive(Debug, Args)]
pub(crate) struct Df {
    /// Data root of an engine instead of the store: docker-root:DIR, containerd-root:DIR
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

    /// Only what arrived longer ago, or before a date; unpacked layers stay
    #[arg(long, value_name = "DUR|DATE")]
    pub(crate) older_than: Option<String>,

    /// Only what matches: until=DUR, min-size=SIZE or digest=PREFIX (repeatable); unpacked layers stay
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Images whose blobs to check, or locations: docker://…, oci:…, oci-archive:…, docker-archive:…
    #[arg(value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
    /// Fetch bad and missing blobs again from the repositories that the images came from
    #[arg(long)]
    pub(crate) repair: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// Only runs since then: a duration such as 7d or 12h, or a date such as 2026-11-01 (UTC)
    #[arg(
        long,
        value_name = "DUR|DATE",
        value_parser = Offering::new(&["24h", "7d", "30d", "1y"], StringValueParser::new()),
        hide_possible_values = true
    )]
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
