//! Arguments of `diff`.

use clap::Args;

use super::shared::OnePlatform;

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// Image, or a location: store:…, oci:…, oci-archive:…, docker-archive:…, docker-root:…
    pub(crate) a: String,
    /// The image to compare it with
    pub(crate) b: String,
    #[command(flatten)]
    pub(crate) platform: OnePlatform,
    /// Show whole commands, digests and values
    #[arg(long)]
    pub(crate) no_trunc: bool,
}
