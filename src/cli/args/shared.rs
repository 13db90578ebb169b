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
