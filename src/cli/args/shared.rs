//! Arguments of several commands.

use clap::Args;

/// Help heading of the options for connecting to a registry.
pub(super) const REGISTRY: &str = "Registry options";

/// The platform option of commands that use one platform.
#[derive(Debug, Args)]
pub(crate) struct OnePlatform {
    /// Platform as os/arch[/variant] [default: the host's]
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
}

/// The platform options of commands that change images.
#[derive(Debug, Args)]
pub(crate) struct EditedPlatforms {
    /// Platform as os/arch[/variant]; of several (repeatable) the result is an index [default: the host's]
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Vec<String>,
    /// Change the images of all platforms of an index
    #[arg(long, conflicts_with = "platform")]
    pub(crate) all_platforms: bool,
}

/// How the new image is written.
#[derive(Debug, Args)]
pub(crate) struct Writing {
    /// Print what would be transferred, without doing it
    #[arg(long)]
    pub(crate) plan: bool,
    /// Sync all data to disk before exiting
    #[arg(long)]
    pub(crate) sync: bool,
}

/// Parses `KEY=VALUE`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}
