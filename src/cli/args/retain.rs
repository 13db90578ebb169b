//! Arguments of `retain`.

use clap::Args;

use crate::mirror::{CreatedWithin, KeepVersions, TagPattern};

/// What follows the options in the help.
pub(super) const HELP: &str = "Examples:
  rpull retain --keep semver:5 --keep-tag latest --plan ghcr.io/org/app
  rpull retain --keep semver:5 --keep-tag 'release-*' --keep-age 90d --yes localhost:5000/app
  rpull retain --keep-age 30d --max-delete 20 --yes --json localhost:5000/nightly

A tag is kept if one of the rules applies. semver:N keeps the tags of the N highest versions; as in
`rpull mirror`, 1.2 and v1.2.0 count as versions, and pre-releases do not. --keep-age looks at the
time in the config, or in an annotation; an image without one, or with one before the year 2000,
is kept.

What belongs to a kept image is kept: platforms, signatures, SBOMs and other referrers. Of the
others, all that they do not share is deleted. Images without a tag are not seen, and are kept. The
registry's own garbage collection frees the space. Do not push to the repository meanwhile.";

#[derive(Debug, Args)]
pub(crate) struct Retain {
    /// Repository in a registry
    #[arg(value_name = "REPO")]
    pub(crate) repository: String,
    /// Keep the tags of the N highest versions
    #[arg(long, value_name = "semver:N")]
    pub(crate) keep: Option<KeepVersions>,
    /// Keep tags that match; * stands for any text (repeatable)
    #[arg(long, value_name = "GLOB", value_parser = TagPattern::parse)]
    pub(crate) keep_tag: Vec<TagPattern>,
    /// Keep images that were created within this time: 90d, 12h, 2 weeks
    #[arg(long, value_name = "AGE", value_parser = CreatedWithin::parse)]
    pub(crate) keep_age: Option<CreatedWithin>,
    /// Maximum tags to delete; if there are more, none is deleted [default: any number, if the rules keep a tag]
    #[arg(long, value_name = "N")]
    pub(crate) max_delete: Option<usize>,
    /// Print what would be deleted, without doing it
    #[arg(long)]
    pub(crate) plan: bool,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub(crate) yes: bool,
}
