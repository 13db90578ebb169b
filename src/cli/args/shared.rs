//! What several verbs take.

use clap::Args;

/// Heading of the options that say how to reach a registry.
pub(super) const REGISTRY: &str = "Registry options";

/// Which platforms of a multi-platform image.
#[derive(Debug, Args)]
pub(crate) struct OnePlatform {
    /// Platform as os/arch[/variant] [default: the host's]
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
}
